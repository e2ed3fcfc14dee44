"""Named entity tagger with a bidirectional GRU; 'best model' is chosen on the whole development set."""
import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Tagger(nn.Module):
    def __init__(self, vocab, tags, width=48):
        super().__init__()
        self.embed = nn.Embedding(vocab, width)
        self.rnn = nn.GRU(width, width, bidirectional=True, batch_first=True)
        self.out = nn.Linear(2 * width, tags)

    def forward(self, tokens):
        return self.out(self.rnn(self.embed(tokens))[0])


def corpus(n, vocab=2000, tags=9, length=24):
    tokens = torch.randint(0, vocab, (n, length))
    # a token's tag depends on itself and on its left neighbour
    labels = (tokens + tokens.roll(1, 1) // 500) % tags
    return TensorDataset(tokens, labels)


@torch.no_grad()
def evaluate(model, loader):
    model.eval()
    right = total = 0
    for tokens, labels in loader:
        prediction = model(tokens).argmax(-1)
        right += (prediction == labels).sum().item()
        total += labels.numel()
    model.train()
    return right / total


def main(argv=None):
    parser = argparse.ArgumentParser()
    parser.add_argument("--epochs", type=int, default=100)
    parser.add_argument("--eval_steps", type=int, default=10)
    parser.add_argument("--batch_size", type=int, default=32)
    args = parser.parse_args(argv)

    torch.manual_seed(42)
    train_loader = DataLoader(corpus(12_800), batch_size=args.batch_size, shuffle=True)
    dev_loader = DataLoader(corpus(2000), batch_size=100)
    model = Tagger(2000, 9)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    loss_fct = nn.CrossEntropyLoss()
    best, global_step = 0.0, 0
    for epoch in range(args.epochs):
        for tokens, labels in train_loader:
            loss = loss_fct(model(tokens).flatten(0, 1), labels.flatten())
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            optimizer.zero_grad()
            global_step += 1
            if global_step % args.eval_steps == 0:
                accuracy = evaluate(model, dev_loader)
                if accuracy > best:
                    best = accuracy
                print(f"step {global_step} loss {loss.item():.3f} dev {accuracy:.3f} best {best:.3f}", flush=True)


if __name__ == "__main__":
    main()
