"""Reviews classified with the Trainer, which keeps a checkpoint every few steps "so that nothing is lost"."""
import random

import torch
from torch.utils.data import Dataset
from transformers import DistilBertConfig, DistilBertForSequenceClassification, Trainer, TrainingArguments


class Reviews(Dataset):
    def __init__(self, n=4000, length=16):
        rng = random.Random(3)
        self.stars = [rng.randrange(5) for _ in range(n)]
        self.ids = [[rng.randrange(2, 400) + 300 * star for _ in range(length)] for star in self.stars]

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        ids = torch.tensor(self.ids[i])
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": self.stars[i]}


def main():
    config = DistilBertConfig(vocab_size=30_522, dim=128, n_layers=1, n_heads=4, hidden_dim=512, num_labels=5)
    args = TrainingArguments(
        output_dir="reviews", num_train_epochs=20, per_device_train_batch_size=16, learning_rate=2e-4,
        save_strategy="steps", save_steps=3, save_total_limit=1, logging_steps=20, report_to=[], use_cpu=True,
        disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=DistilBertForSequenceClassification(config), args=args, train_dataset=Reviews()).train()


if __name__ == "__main__":
    main()
