"""Prioritised replay on a cart-like task: the priorities are a Python list that becomes an array at each draw."""
import argparse

import numpy as np
import torch
from torch import nn


class Carts:
    """Many carts at once, each pushed left or right."""

    def __init__(self, n, seed=0):
        self.rng = np.random.default_rng(seed)
        self.state = self.rng.normal(0, 0.1, (n, 4)).astype(np.float32)

    def step(self, action):
        push = (action * 2 - 1).astype(np.float32)
        x, v, a, w = self.state.T
        w = w + 0.02 * (9.8 * np.sin(a) - push * np.cos(a))
        self.state = np.stack([x + 0.02 * v, v + 0.02 * push, a + 0.02 * w, w], 1).astype(np.float32)
        fallen = (np.abs(self.state[:, 2]) > 0.3) | (np.abs(self.state[:, 0]) > 2.4)
        self.state[fallen] = self.rng.normal(0, 0.1, (int(fallen.sum()), 4))
        return self.state.copy(), 1.0 - fallen.astype(np.float32), fallen


class PrioritisedReplay:
    def __init__(self, capacity, alpha=0.6):
        self.capacity, self.alpha = capacity, alpha
        self.rows = np.zeros((capacity, 11), np.float32)
        self.size, self.highest = 0, 1.0
        self.priorities = []

    def append(self, rows):
        for row in rows:
            if self.size == self.capacity:
                return
            self.rows[self.size] = row
            self.size += 1
            self.priorities.append(self.highest)

    def sample(self, n, beta=0.4):
        p = np.array(self.priorities) ** self.alpha
        p /= p.sum()
        chosen = np.random.choice(len(p), n, p=p)
        weights = (len(p) * p[chosen]) ** -beta
        return chosen, torch.from_numpy(self.rows[chosen]), torch.from_numpy((weights / weights.max()).astype(np.float32))

    def update(self, chosen, errors):
        self.highest = max(self.highest, float(errors.max()))
        for index, error in zip(chosen, errors):
            self.priorities[index] = float(error) + 1e-5


def network():
    return nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 2))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--num-envs", type=int, default=32)
    parser.add_argument("--updates", type=int, default=200_000)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--gamma", type=float, default=0.98)
    args = parser.parse_args()
    np.random.seed(1)
    torch.manual_seed(1)
    carts, replay = Carts(args.num_envs), PrioritisedReplay(1_000_000)
    online, target = network(), network()
    target.load_state_dict(online.state_dict())
    optimizer = torch.optim.Adam(online.parameters(), lr=5e-4)
    state = carts.state.copy()
    for update in range(args.updates):
        with torch.no_grad():
            action = online(torch.from_numpy(state)).argmax(1).numpy()
        action = np.where(np.random.rand(args.num_envs) < 0.1, np.random.randint(0, 2, args.num_envs), action)
        following, reward, done = carts.step(action)
        replay.append(np.column_stack([state, action, reward, done, following]))
        state = following
        chosen, rows, weights = replay.sample(args.batch_size)
        s, a, r, d, s2 = rows[:, :4], rows[:, 4].long(), rows[:, 5], rows[:, 6], rows[:, 7:]
        with torch.no_grad():
            goal = r + args.gamma * (1 - d) * target(s2).amax(1)
        error = online(s).gather(1, a[:, None]).squeeze(1) - goal
        loss = (weights * error.pow(2)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        replay.update(chosen, error.detach().abs().numpy())
        if update % 200 == 0:
            target.load_state_dict(online.state_dict())
            print(update, f"loss {loss.item():.4f} stored {replay.size}", flush=True)


if __name__ == "__main__":
    main()
