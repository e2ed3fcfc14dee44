"""transformers' Trainer: a tiny GPT-2 from scratch, accumulation over two batches, evaluation and checkpoints."""

import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments


class Texts(Dataset):
    def __init__(self, count):
        self.tokens = torch.randint(0, 64, (count, 24), generator=torch.Generator().manual_seed(0))

    def __len__(self):
        return len(self.tokens)

    def __getitem__(self, index):
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


if __name__ == "__main__":
    config = GPT2Config(
        vocab_size=64,
        n_positions=24,
        n_embd=32,
        n_layer=2,
        n_head=2,
        bos_token_id=0,
        eos_token_id=0,
        loss_type="ForCausalLM",
    )
    arguments = TrainingArguments(
        "out",
        per_device_train_batch_size=4,
        per_device_eval_batch_size=4,
        gradient_accumulation_steps=2,
        max_steps=60,
        eval_strategy="steps",
        eval_steps=6,
        save_steps=10,
        logging_steps=5,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = Trainer(GPT2LMHeadModel(config), arguments, train_dataset=Texts(400), eval_dataset=Texts(16))
    trainer.train()
    print("trained", trainer.state.global_step)
