"""Pre-train a small domain BERT (protein-like 'language') with masked language modelling.

Token ids come from a synthetic Markov corpus, already packed to fixed-length blocks.
"""
import tempfile

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset
from transformers import BertConfig, BertForMaskedLM, Trainer, TrainingArguments, set_seed

VOCAB = 12000
BLOCK = 128
PAD, MASK, FIRST = 0, 4, 5


class PackedCorpus(Dataset):
    """fixed-length blocks cut from one long id stream held in memory"""

    def __init__(self, n_blocks, seed):
        rng = np.random.default_rng(seed)
        n = n_blocks * BLOCK
        step = rng.integers(1, 7, n)
        jump = rng.random(n) < 0.02
        step[jump] = rng.integers(0, VOCAB, jump.sum())
        ids = np.cumsum(step) % (VOCAB - FIRST) + FIRST
        self.ids = torch.from_numpy(ids.reshape(n_blocks, BLOCK))

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, i):
        return {"input_ids": self.ids[i]}


class MlmCollator:
    def __init__(self, p=0.15):
        self.p = p

    def __call__(self, rows):
        ids = torch.stack([r["input_ids"] for r in rows])
        labels = ids.clone()
        picked = torch.rand(ids.shape) < self.p
        labels[~picked] = -100
        r = torch.rand(ids.shape)
        ids = torch.where(picked & (r < 0.8), MASK, ids)
        rnd = torch.randint(FIRST, VOCAB, ids.shape)
        ids = torch.where(picked & (r > 0.9), rnd, ids)
        return {"input_ids": ids, "labels": labels}


class MlmTrainer(Trainer):
    """Adds label smoothing and a z-loss to the stock MLM objective."""

    smoothing = 0.05
    z_weight = 1e-4

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        labels = inputs["labels"]
        scores = model(input_ids=inputs["input_ids"]).logits
        keep = labels != -100
        scores = scores.view(-1, VOCAB)
        loss = F.cross_entropy(scores, labels.view(-1), ignore_index=-100, label_smoothing=self.smoothing)
        z = torch.logsumexp(scores, -1)[keep.view(-1)]
        loss = loss + self.z_weight * z.pow(2).mean()
        return (loss, {"loss": loss}) if return_outputs else loss


def main():
    set_seed(13)
    config = BertConfig(
        vocab_size=VOCAB,
        hidden_size=192,
        num_hidden_layers=4,
        num_attention_heads=4,
        intermediate_size=768,
        max_position_embeddings=BLOCK,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=PAD,
    )
    model = BertForMaskedLM(config)
    print(f"parameters: {model.num_parameters() / 1e6:.1f}M")
    args = TrainingArguments(
        output_dir=tempfile.mkdtemp(prefix="mlm_"),
        per_device_train_batch_size=4,
        num_train_epochs=40,
        learning_rate=3e-4,
        warmup_steps=200,
        weight_decay=0.01,
        logging_steps=50,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
        remove_unused_columns=False,
        disable_tqdm=True,
    )
    trainer = MlmTrainer(
        model=model,
        args=args,
        train_dataset=PackedCorpus(4000, seed=1),
        data_collator=MlmCollator(),
    )
    result = trainer.train()
    print(result.metrics)


if __name__ == "__main__":
    main()
