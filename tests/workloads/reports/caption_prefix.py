"""Captions for feature maps. Every word is predicted by a decoder call on the words before it."""
import dataclasses
import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclasses.dataclass
class Cfg:
    words: int = 800
    width: int = 192
    length: int = 20
    batch: int = 48
    rounds: int = 100_000
    lr: float = 3e-4


class CaptionNet(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        self.embed = nn.Embedding(cfg.words, cfg.width)
        self.place = nn.Parameter(torch.zeros(cfg.length, cfg.width))
        layer = nn.TransformerDecoderLayer(cfg.width, 4, 4 * cfg.width, 0.0, batch_first=True, norm_first=True)
        self.decoder = nn.TransformerDecoder(layer, 2)
        self.out = nn.Linear(cfg.width, cfg.words)

    def step(self, words, memory):
        n = words.shape[1]
        mask = torch.full((n, n), float("-inf")).triu(1)
        hidden = self.decoder(self.embed(words) + self.place[:n], memory, tgt_mask=mask)
        return self.out(hidden[:, -1])

    def forward(self, words, memory):
        return torch.stack([self.step(words[:, : n + 1], memory) for n in range(words.shape[1])], 1)

    def at_once(self, words, memory):
        n = words.shape[1]
        mask = torch.full((n, n), float("-inf")).triu(1)
        return self.out(self.decoder(self.embed(words) + self.place[:n], memory, tgt_mask=mask))


class Trainer:
    def __init__(self, cfg):
        self.cfg = cfg
        self.net = CaptionNet(cfg)
        self.opt = torch.optim.AdamW(self.net.parameters(), lr=cfg.lr, fused=True)
        self.warmup = torch.optim.lr_scheduler.LinearLR(self.opt, 0.01, 1.0, 500)

    def batches(self):
        g = torch.Generator().manual_seed(0)
        while True:
            memory = torch.randn(self.cfg.batch, 16, self.cfg.width, generator=g)
            words = torch.randint(self.cfg.words, (self.cfg.batch, self.cfg.length + 1), generator=g)
            yield words, memory

    def fit(self):
        source = self.batches()
        for n in range(self.cfg.rounds):
            words, memory = next(source)
            logits = self.net(words[:, :-1], memory)
            loss = F.cross_entropy(logits.flatten(0, 1), words[:, 1:].flatten())
            self.opt.zero_grad(set_to_none=True)
            loss.backward()
            self.opt.step()
            self.warmup.step()
            if n % 50 == 0:
                print(f"round {n}: {loss.item():.3f}", flush=True)


Trainer(Cfg()).fit()
