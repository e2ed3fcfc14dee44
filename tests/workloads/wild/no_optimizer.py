"""Word-level language model with the update written by hand: no optimizer anywhere."""
import torch
from torch import nn

torch.manual_seed(1111)
vocab, batch_size, bptt = 200, 20, 15


class RNNModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Embedding(vocab, 32)
        self.rnn = nn.LSTM(32, 32)
        self.decoder = nn.Linear(32, vocab)

    def forward(self, x, hidden):
        output, hidden = self.rnn(self.encoder(x), hidden)
        return self.decoder(output).view(-1, vocab), hidden


corpus = torch.randint(0, vocab, (301 * bptt, batch_size))
model = RNNModel()
hidden = (torch.zeros(1, batch_size, 32), torch.zeros(1, batch_size, 32))
lr = 5.0
for i in range(0, 300 * bptt, bptt):
    data, targets = corpus[i:i + bptt], corpus[i + 1:i + 1 + bptt].reshape(-1)
    model.zero_grad()
    hidden = tuple(h.detach() for h in hidden)
    output, hidden = model(data, hidden)
    loss = nn.functional.cross_entropy(output, targets)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.25)
    for p in model.parameters():
        p.data.add_(p.grad, alpha=-lr)
print(f"loss {loss.item():.2f}")
