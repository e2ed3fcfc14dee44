from functools import lru_cache, partial
import numpy as np
import torch

torch.manual_seed(0)
rng = np.random.default_rng(4)
recordings = [rng.standard_normal(6000).astype("float32") for _ in range(1500)]


@lru_cache(maxsize=512)
def spectrogram(which):
    samples = recordings[which]
    frames = np.lib.stride_tricks.sliding_window_view(samples, 256)[::64] * np.hanning(256)
    return np.log1p(np.abs(np.fft.rfft(frames, axis=1))).astype("float32")


class Birds(torch.utils.data.Dataset):
    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return torch.from_numpy(spectrogram(i)), i % 20


def run(callbacks, epochs=500):
    loader = torch.utils.data.DataLoader(Birds(len(recordings)), batch_size=50)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(90 * 129, 48), torch.nn.ReLU(), torch.nn.Linear(48, 20)
    )
    opt = torch.optim.SGD(net.parameters(), lr=0.005, momentum=0.9)
    for e in range(epochs):
        for pictures, species in loader:
            loss = torch.nn.functional.cross_entropy(net(pictures), species)
            opt.zero_grad()
            loss.backward()
            opt.step()
            for callback in callbacks:
                callback(e, loss.detach())


history = []
run([lambda e, value: history.append(value), lambda e, value: len(history) % 120 == 0 and print(e, float(history[-1]), flush=True)])
