"""Machine translation toy: encoder-decoder on reversed sequences. Checkpoints so that a killed job can resume."""
import argparse
import os
import tempfile

import torch
from torch import nn


class Seq2Seq(nn.Module):
    def __init__(self, vocab=8000, width=128):
        super().__init__()
        self.src = nn.Embedding(vocab, width)
        self.tgt = nn.Embedding(vocab, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.out = nn.Linear(width, 256)

    def forward(self, source, target):
        _, state = self.encoder(self.src(source))
        hidden, _ = self.decoder(self.tgt(target), state)
        return self.out(hidden)


def save_checkpoint(path, model, optimizer, step):
    temporary = path + ".tmp"
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "step": step}, temporary)
    os.replace(temporary, path)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output-dir", default=None)
    parser.add_argument("--save-every", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10000)
    options = parser.parse_args()
    output = options.output_dir or tempfile.mkdtemp()
    os.makedirs(output, exist_ok=True)

    torch.manual_seed(0)
    net = Seq2Seq()
    sgd = torch.optim.SGD(net.parameters(), lr=0.5, momentum=0.9)
    for step in range(1, options.steps + 1):
        source = torch.randint(1, 256, (32, 10))
        target = source.flip(1)
        logits = net(source, target.roll(1, 1))
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), target.flatten())
        sgd.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        sgd.step()
        if step % options.save_every == 0:
            save_checkpoint(os.path.join(output, "last.pt"), net, sgd, step)
        if step % 100 == 0:
            print("step", step, "loss", f"{loss.item():.3f}", flush=True)
