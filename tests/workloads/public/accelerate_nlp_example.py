"""Sentence pairs with accelerate: padded to the longest of a batch, a linear schedule, a metric after each epoch."""
import argparse
import random

import torch
from accelerate import Accelerator
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup, set_seed

EVAL_BATCH_SIZE = 32


def get_dataloaders(batch_size):
    def rows(n, seed):
        rng = random.Random(seed)
        for _ in range(n):
            label = rng.randrange(2)
            yield [rng.randrange(1000, 1300) + 200 * label for _ in range(max(14, int(rng.gauss(52, 16))))], label

    def collate(examples):
        longest = max(len(ids) for ids, _ in examples)
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in examples])
        return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.tensor([label for _, label in examples])}

    train = DataLoader(list(rows(3668, 0)), shuffle=True, collate_fn=collate, batch_size=batch_size, drop_last=True)
    return train, DataLoader(list(rows(408, 1)), shuffle=False, collate_fn=collate, batch_size=EVAL_BATCH_SIZE)


def training_function(config, args):
    accelerator = Accelerator(cpu=args.cpu, mixed_precision=args.mixed_precision)
    set_seed(config["seed"])
    train_dataloader, eval_dataloader = get_dataloaders(config["batch_size"])
    bert = BertConfig(vocab_size=2000, hidden_size=192, num_hidden_layers=4, num_attention_heads=4, intermediate_size=768)
    model = BertForSequenceClassification(bert)
    optimizer = AdamW(params=model.parameters(), lr=config["lr"])
    scheduler = get_linear_schedule_with_warmup(optimizer, 100, len(train_dataloader) * config["num_epochs"])
    model, optimizer, train_dataloader, eval_dataloader, scheduler = accelerator.prepare(
        model, optimizer, train_dataloader, eval_dataloader, scheduler
    )
    for epoch in range(config["num_epochs"]):
        model.train()
        for batch in train_dataloader:
            loss = model(**batch).loss
            accelerator.backward(loss)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        model.eval()
        right = seen = 0
        for batch in eval_dataloader:
            with torch.no_grad():
                outputs = model(**batch)
            predictions, references = accelerator.gather_for_metrics((outputs.logits.argmax(dim=-1), batch["labels"]))
            right, seen = right + (predictions == references).sum().item(), seen + len(references)
        accelerator.print(f"epoch {epoch}: accuracy {right / seen:.4f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--mixed_precision", type=str, default="no", choices=["no", "fp16", "bf16"])
    parser.add_argument("--cpu", action="store_true", default=True)
    training_function({"lr": 2e-5, "num_epochs": 20, "seed": 42, "batch_size": 16}, parser.parse_args())
