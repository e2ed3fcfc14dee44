"""Forum posts and the Trainer; a tokenizer in Python cuts each post into pieces again whenever it is asked for."""
import random

import torch
from torch.utils.data import Dataset
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments


def posts(n=3000):
    rng = random.Random(21)
    letters = "etaoinshrdlu"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 11))) for _ in range(5000)]
    return [(" ".join(rng.choices(words[400 * topic : 400 * topic + 1200], k=240)), topic) for topic in rng.choices(range(8), k=n)]


class Pieces:
    """Longest match first, as word pieces are found."""

    def __init__(self, texts):
        seen = sorted({word[a : a + k] for text, _ in texts[:200] for word in text.split() for a in range(len(word)) for k in (1, 2, 3)})
        self.ids = {piece: 2 + i for i, piece in enumerate(seen)}

    def encode(self, text, length=64):
        out = [1]
        for word in text.lower().split():
            a = 0
            while a < len(word):
                for b in range(len(word), a, -1):
                    if word[a:b] in self.ids:
                        break
                out.append(self.ids.get(word[a:b], 0))
                a = b
        return out[:length]


class Posts(Dataset):
    def __init__(self, texts):
        self.texts, self.pieces = texts, Pieces(texts)

    def __len__(self):
        return len(self.texts)

    def __getitem__(self, i):
        text, topic = self.texts[i]
        return {"input_ids": torch.tensor(self.pieces.encode(text)), "labels": topic}


def main():
    dataset = Posts(posts())
    config = BertConfig(
        vocab_size=len(dataset.pieces.ids) + 2, hidden_size=32, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=64, num_labels=8,
    )  # fmt: skip
    args = TrainingArguments(
        output_dir="posts", num_train_epochs=30, per_device_train_batch_size=32, learning_rate=1e-3, logging_steps=50,
        save_strategy="no", report_to=[], use_cpu=True, disable_tqdm=True,
    )  # fmt: skip
    Trainer(model=BertForSequenceClassification(config), args=args, train_dataset=dataset).train()


if __name__ == "__main__":
    main()
