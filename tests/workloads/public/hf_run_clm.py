"""A causal language model with the Trainer on texts that were joined and cut into blocks."""
import torch
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, default_data_collator


class Blocks(Dataset):
    def __init__(self, n, block_size=256, vocab=4000):
        g = torch.Generator().manual_seed(0)
        self.ids = (torch.rand(n, block_size, generator=g) ** 3 * vocab).long()

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i], "attention_mask": torch.ones_like(self.ids[i]), "labels": self.ids[i]}


def main():
    config = GPT2Config(vocab_size=4000, n_positions=256, n_embd=256, n_layer=4, n_head=4, bos_token_id=0, eos_token_id=0)
    args = TrainingArguments(
        output_dir="clm", num_train_epochs=3, per_device_train_batch_size=8, learning_rate=5e-5, logging_steps=50,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True, seed=42,
    )
    Trainer(model=GPT2LMHeadModel(config), args=args, train_dataset=Blocks(8000), data_collator=default_data_collator).train()


if __name__ == "__main__":
    main()
