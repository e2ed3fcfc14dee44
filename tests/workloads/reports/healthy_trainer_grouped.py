"""Letters of complaint with the Trainer, done well: bf16, batches of like length, padded to their longest."""
import random

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


class Letters(Dataset):
    def __init__(self, n=6000):
        rng = random.Random(17)
        self.rows = []
        for _ in range(n):
            topic = rng.randrange(7)
            ids = [rng.randrange(2, 800) + 400 * topic for _ in range(min(256, max(16, int(rng.gauss(120, 50)))))]
            self.rows.append({"input_ids": ids, "labels": topic})

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def pad(rows):
    longest = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), longest, dtype=torch.long)
    for out, row in zip(ids, rows):
        out[: len(row["input_ids"])] = torch.tensor(row["input_ids"])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.tensor([row["labels"] for row in rows])}


def main():
    config = BertConfig(
        vocab_size=4000, hidden_size=256, num_hidden_layers=4, num_attention_heads=4, intermediate_size=1024,
        num_labels=7, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    args = TrainingArguments(
        output_dir="letters", num_train_epochs=10, per_device_train_batch_size=32, learning_rate=1e-4, bf16=True,
        train_sampling_strategy="group_by_length", logging_steps=20, save_strategy="no", report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=BertForSequenceClassification(config), args=args, train_dataset=Letters(), data_collator=pad).train()


if __name__ == "__main__":
    main()
