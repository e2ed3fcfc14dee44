"""BERT-base on sequences of random tokens, by the Trainer of transformers; `--hand` has an expert's arguments."""

import argparse
import os

import torch
from _stopwatch import Stopwatch, add_options
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainerCallback, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--batch-size", type=int)
parser.add_argument("--learning-rate", type=float, default=5e-5)
parser.add_argument("--max-steps", type=int, default=1_000_000)
parser.add_argument("--hand", action="store_true")
parser.add_argument("--small", action="store_true", help="a tiny network, to try the script on a CPU")
add_options(parser)


class Sentences(Dataset):
    def __init__(self, length, vocabulary, count=20_000):
        chance = torch.Generator().manual_seed(0)
        self.ids = torch.randint(5, vocabulary, (count, length), generator=chance)
        self.labels = torch.randint(0, 2, (count,), generator=chance)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, index):
        ids = self.ids[index]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": self.labels[index]}


class Laps(TrainerCallback):
    def __init__(self, stopwatch):
        self.stopwatch = stopwatch

    def on_step_end(self, args, state, control, **kwargs):
        if self.stopwatch.lap(args.per_device_train_batch_size):
            control.should_training_stop = self.stopwatch.over


def main():
    args = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tiny = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = BertConfig(num_labels=2, **(tiny if args.small else {}))
    by_hand = {
        "bf16": True,
        "use_cpu": device == "cpu",
        "tf32": True if device == "cuda" else None,
        "torch_compile": True,
        "torch_compile_backend": "aot_eager" if args.small else "inductor",
        "optim": "adamw_torch_fused",
        "dataloader_num_workers": max(1, min(4, os.cpu_count() - 1)),
        "dataloader_pin_memory": device == "cuda",
        "dataloader_persistent_workers": True,
    }
    training = TrainingArguments(
        output_dir="bert-out",
        per_device_train_batch_size=args.batch_size or (4 if args.small else 32),
        learning_rate=args.learning_rate,
        max_steps=args.max_steps,
        logging_steps=100,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        **(by_hand if args.hand else {}),
    )
    trainer = Trainer(
        model=BertForSequenceClassification(config),
        args=training,
        train_dataset=Sentences(16 if args.small else 128, config.vocab_size),
        callbacks=[Laps(Stopwatch(args, device))],
    )
    trainer.train()


if __name__ == "__main__":
    main()
