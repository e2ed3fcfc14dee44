"""DQN on a small grid world. The replay buffer is a deque of Python tuples."""
import argparse
import random
from collections import deque, namedtuple

import numpy as np
import torch
from torch import nn

Transition = namedtuple("Transition", "state action reward next_state done")


class GridWorld:
    """An agent looks for the goal on a 12 x 12 board, seen as a flat one-hot picture."""

    size = 12

    def reset(self):
        self.agent, self.goal = random.sample([(r, c) for r in range(self.size) for c in range(self.size)], 2)
        self.steps = 0
        return self.observe()

    def observe(self):
        board = [[0.0] * self.size for _ in range(self.size)]
        board[self.agent[0]][self.agent[1]] = 1.0
        board[self.goal[0]][self.goal[1]] = -1.0
        return [value for row in board for value in row]

    def step(self, action):
        dr, dc = [(-1, 0), (1, 0), (0, -1), (0, 1)][action]
        self.agent = (min(max(self.agent[0] + dr, 0), self.size - 1), min(max(self.agent[1] + dc, 0), self.size - 1))
        self.steps += 1
        done = self.agent == self.goal
        return self.observe(), 1.0 if done else -0.01, done, self.steps >= 60


class ReplayBuffer:
    def __init__(self, capacity):
        self.memory = deque(maxlen=capacity)

    def push(self, *args):
        self.memory.append(Transition(*args))

    def sample(self, n):
        picked = random.sample(self.memory, n)
        batch = Transition(*zip(*picked))
        return (torch.tensor(batch.state), torch.tensor(batch.action), torch.tensor(batch.reward),
                torch.tensor(batch.next_state), torch.tensor(batch.done, dtype=torch.float))


class TensorReplay:
    """Same contents in five preallocated arrays."""

    def __init__(self, capacity, width=GridWorld.size**2):
        self.capacity, self.count = capacity, 0
        self.states = np.zeros((capacity, width), dtype=np.float32)
        self.next_states = np.zeros((capacity, width), dtype=np.float32)
        self.scalars = np.zeros((capacity, 3), dtype=np.float32)

    def push(self, state, action, reward, next_state, done):
        at = self.count % self.capacity
        self.states[at], self.next_states[at] = state, next_state
        self.scalars[at] = action, reward, done
        self.count += 1

    def sample(self, n):
        at = np.random.randint(0, min(self.count, self.capacity), n)
        action, reward, done = torch.from_numpy(self.scalars[at]).T
        return torch.from_numpy(self.states[at]), action.long(), reward, torch.from_numpy(self.next_states[at]), done


def qnet():
    return nn.Sequential(nn.Linear(GridWorld.size**2, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--frames", type=int, default=100_000)
    cli.add_argument("--batch", type=int, default=256)
    cli.add_argument("--gamma", type=float, default=0.97)
    opts = cli.parse_args()
    random.seed(0)
    torch.manual_seed(0)
    env, buffer = GridWorld(), ReplayBuffer(20_000)
    policy, target = qnet(), qnet()
    target.load_state_dict(policy.state_dict())
    optimizer = torch.optim.Adam(policy.parameters(), lr=5e-4)
    state, score = env.reset(), 0.0
    for frame in range(opts.frames):
        if random.random() < max(0.05, 1 - frame / 20_000):
            action = random.randrange(4)
        else:
            with torch.no_grad():
                action = policy(torch.tensor([state])).argmax(1).item()
        next_state, reward, done, cut = env.step(action)
        buffer.push(state, action, reward, next_state, done)
        score += reward
        state = env.reset() if done or cut else next_state
        if frame >= 500:
            s, a, r, s2, d = buffer.sample(opts.batch)
            with torch.no_grad():
                y = r + opts.gamma * (1 - d) * target(s2).max(1).values
            q = policy(s).gather(1, a[:, None]).squeeze(1)
            loss = nn.functional.smooth_l1_loss(q, y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        if frame % 500 == 0:
            target.load_state_dict(policy.state_dict())
            print(f"frame {frame} score {score:.2f}", flush=True)
            score = 0.0


if __name__ == "__main__":
    main()
