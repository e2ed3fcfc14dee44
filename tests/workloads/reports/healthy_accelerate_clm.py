"""A small language model with accelerate: packed blocks, accumulation, bf16, clipping, warm-up."""
import math

import torch
from accelerate import Accelerator
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Blocks(Dataset):
    def __init__(self, n=1024, length=128, vocabulary=512):
        g = torch.Generator().manual_seed(3)
        following = torch.randint(0, vocabulary, (vocabulary, 4), generator=g)
        tokens = torch.zeros(n, length + 1, dtype=torch.long)
        tokens[:, 0] = torch.randint(0, vocabulary, (n,), generator=g)
        for t in range(length):
            tokens[:, t + 1] = following[tokens[:, t], torch.randint(0, 4, (n,), generator=g)]
        self.tokens = tokens

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, i):
        return {"input_ids": self.tokens[i, :-1], "labels": self.tokens[i, 1:]}


class Model(nn.Module):
    def __init__(self, vocabulary=512, width=256, depth=4, length=128):
        super().__init__()
        self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        layer = nn.TransformerEncoderLayer(width, 4, 4 * width, 0.0, batch_first=True, norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, depth, enable_nested_tensor=False)
        self.head = nn.Linear(width, vocabulary)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(length))

    def forward(self, input_ids, labels):
        x = self.tokens(input_ids) + self.places.weight
        logits = self.head(self.blocks(x, mask=self.mask, is_causal=True))
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), labels.flatten())


def main():
    accelerator = Accelerator(cpu=True, mixed_precision="bf16", gradient_accumulation_steps=2)
    torch.manual_seed(0)
    loader = DataLoader(Blocks(), batch_size=16, shuffle=True, drop_last=True)
    model = Model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-4, fused=True)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1, s / 20) * math.exp(-s / 2000))
    model, optimizer, loader, scheduler = accelerator.prepare(model, optimizer, loader, scheduler)
    for epoch in range(50):
        for batch in loader:
            with accelerator.accumulate(model):
                loss = model(**batch)
                accelerator.backward(loss)
                if accelerator.sync_gradients:
                    accelerator.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
        accelerator.print(f"epoch {epoch} perplexity {math.exp(loss.item()):.1f}", flush=True)


if __name__ == "__main__":
    main()
