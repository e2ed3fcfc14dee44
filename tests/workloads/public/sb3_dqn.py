"""Deep Q learning as a library does it: a ring of arrays, a step of the environment, an update every fourth."""
import numpy as np
import torch as th
from torch import nn
from torch.nn import functional as F


class ReplayBuffer:
    def __init__(self, size, dim):
        self.size, self.pos, self.full = size, 0, False
        self.observations, self.next_observations = np.zeros((size, dim), np.float32), np.zeros((size, dim), np.float32)
        self.actions, self.rewards, self.dones = np.zeros((size, 1), np.int64), np.zeros(size, np.float32), np.zeros(size, np.float32)

    def add(self, obs, next_obs, action, reward, done):
        i = self.pos
        self.observations[i], self.next_observations[i] = obs, next_obs
        self.actions[i], self.rewards[i], self.dones[i] = action, reward, done
        self.pos += 1
        if self.pos == self.size:
            self.full, self.pos = True, 0

    def sample(self, n):
        rows = np.random.randint(0, self.size if self.full else self.pos, size=n)
        data = self.observations[rows], self.actions[rows], self.next_observations[rows], self.dones[rows], self.rewards[rows]
        return [th.as_tensor(part) for part in data]


class MountainLike:
    def reset(self):
        self.t, self.x = 0, np.random.normal(0, 0.3, 8).astype(np.float32)
        return self.x

    def step(self, action):
        self.t += 1
        self.x = np.clip(self.x + 0.05 * np.roll(self.x, 1) + 0.02 * (action - 1), -3, 3).astype(np.float32)
        return self.x, float(-abs(self.x[0])), self.t >= 200


def make_net():
    return nn.Sequential(nn.Linear(8, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 3))


class DQN:
    def __init__(self, batch_size=32, gamma=0.99, train_freq=4, target_update_interval=1000, learning_starts=100):
        self.env, self.buffer = MountainLike(), ReplayBuffer(100_000, 8)
        self.q_net, self.q_net_target = make_net(), make_net()
        self.q_net_target.load_state_dict(self.q_net.state_dict())
        self.optimizer = th.optim.Adam(self.q_net.parameters(), lr=1e-4)
        self.batch_size, self.gamma, self.train_freq = batch_size, gamma, train_freq
        self.target_update_interval, self.learning_starts = target_update_interval, learning_starts

    def predict(self, obs, epsilon):
        if np.random.rand() < epsilon:
            return np.random.randint(3)
        with th.no_grad():
            return int(self.q_net(th.as_tensor(obs)[None]).argmax(dim=1))

    def train_step(self):
        obs, actions, next_obs, dones, rewards = self.buffer.sample(self.batch_size)
        with th.no_grad():
            target = rewards + (1 - dones) * self.gamma * self.q_net_target(next_obs).max(dim=1).values
        loss = F.smooth_l1_loss(self.q_net(obs).gather(1, actions).squeeze(1), target)
        self.optimizer.zero_grad()
        loss.backward()
        th.nn.utils.clip_grad_norm_(self.q_net.parameters(), 10)
        self.optimizer.step()
        return loss.item()

    def learn(self, total_timesteps):
        obs, losses = self.env.reset(), []
        for step in range(total_timesteps):
            action = self.predict(obs, max(0.05, 1 - step / 20_000))
            next_obs, reward, done = self.env.step(action)
            self.buffer.add(obs, next_obs, action, reward, done)
            obs = self.env.reset() if done else next_obs
            if step > self.learning_starts and step % self.train_freq == 0:
                losses.append(self.train_step())
            if step % self.target_update_interval == 0:
                self.q_net_target.load_state_dict(self.q_net.state_dict())
                print(f"step {step} loss {np.mean(losses[-100:] or [0]):.4f}", flush=True)


if __name__ == "__main__":
    th.manual_seed(0)
    DQN().learn(5_000_000)
