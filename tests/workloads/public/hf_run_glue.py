"""Sentence pairs with the Trainer, padded to 128 as the example's default has it, evaluated after each epoch."""
import random
from dataclasses import dataclass, field

import numpy as np
import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, HfArgumentParser, Trainer, TrainingArguments, default_data_collator


@dataclass
class DataTrainingArguments:
    max_seq_length: int = field(default=128)
    pad_to_max_length: bool = field(default=True)


class Pairs(Dataset):
    def __init__(self, n, seed, length):
        rng = random.Random(seed)
        self.rows = []
        for _ in range(n):
            k = min(length, max(12, int(rng.gauss(44, 14))))
            label = rng.randrange(2)
            ids = [101] + [rng.randrange(1000, 1400) + 200 * label for _ in range(k - 2)] + [102]
            self.rows.append({"input_ids": ids + [0] * (length - k), "token_type_ids": [0] * length,
                              "attention_mask": [1] * k + [0] * (length - k), "label": label})

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, i):
        return self.rows[i]


def compute_metrics(p):
    return {"accuracy": float((np.argmax(p.predictions, axis=1) == p.label_ids).mean())}


def main():
    parser = HfArgumentParser((DataTrainingArguments, TrainingArguments))
    data_args, training_args = parser.parse_args_into_dataclasses(args=[
        "--output_dir", "mrpc", "--per_device_train_batch_size", "32", "--learning_rate", "2e-5", "--num_train_epochs", "10",
        "--eval_strategy", "epoch", "--save_strategy", "no", "--report_to", "none", "--use_cpu", "--disable_tqdm", "true",
    ])
    torch.manual_seed(training_args.seed)
    config = BertConfig(vocab_size=2000, hidden_size=192, num_hidden_layers=4, num_attention_heads=4, intermediate_size=768)
    trainer = Trainer(
        model=BertForSequenceClassification(config), args=training_args, train_dataset=Pairs(3668, 0, data_args.max_seq_length),
        eval_dataset=Pairs(408, 1, data_args.max_seq_length), compute_metrics=compute_metrics, data_collator=default_data_collator,
    )
    trainer.train()


if __name__ == "__main__":
    main()
