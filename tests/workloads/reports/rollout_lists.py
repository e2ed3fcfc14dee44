"""Advantage actor-critic; what the environments returned is collected in lists of arrays and made a tensor afterwards."""
import numpy as np
import torch
from torch import nn
from torch.distributions import Categorical


class Gardens:
    """96 small gardens in NumPy: walk to where the scent is strongest."""

    def __init__(self, n=96, features=96):
        self.rng = np.random.default_rng(4)
        self.mix = self.rng.normal(0, 0.3, (features, features)).astype(np.float32)
        self.observation = self.rng.normal(size=(n, features)).astype(np.float32)

    def step(self, actions):
        reward = self.observation[np.arange(len(actions)), actions]
        moved = np.tanh(self.observation @ self.mix)
        self.observation = (moved + 0.1 * self.rng.normal(size=moved.shape)).astype(np.float32)
        return self.observation, reward, self.rng.random(len(actions)) < 0.02


class ActorCritic(nn.Module):
    def __init__(self, features=96, actions=8):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(features, 128), nn.Tanh(), nn.Linear(128, 128), nn.Tanh())
        self.actor, self.critic = nn.Linear(128, actions), nn.Linear(128, 1)

    def forward(self, x):
        x = self.body(x)
        return self.actor(x), self.critic(x).squeeze(-1)


class Agent:
    horizon, gamma = 24, 0.97

    def __init__(self):
        torch.manual_seed(0)
        self.gardens, self.net = Gardens(), ActorCritic()
        self.optimizer = torch.optim.RMSprop(self.net.parameters(), lr=7e-4)

    def collect(self):
        states, actions, rewards, dones = [], [], [], []
        observation = self.gardens.observation
        for _ in range(self.horizon):
            with torch.no_grad():
                logits, _ = self.net(torch.from_numpy(observation))
            action = Categorical(logits=logits).sample().numpy()
            states.append(observation)
            actions.append(action)
            observation, reward, done = self.gardens.step(action)
            rewards.append(reward)
            dones.append(done)
        return states, actions, rewards, dones

    def learn(self, states, actions, rewards, dones):
        states = torch.tensor(states, dtype=torch.float32)
        actions = torch.tensor(actions)
        rewards = torch.tensor(rewards, dtype=torch.float32)
        alive = 1 - torch.tensor(dones, dtype=torch.float32)
        logits, values = self.net(states)
        returns = torch.empty_like(values)
        following = values[-1].detach()
        for t in reversed(range(self.horizon)):
            following = returns[t] = rewards[t] + self.gamma * alive[t] * following
        advantage = returns - values
        policy = Categorical(logits=logits)
        loss = -(policy.log_prob(actions) * advantage.detach()).mean() + 0.5 * advantage.pow(2).mean()
        loss = loss - 0.01 * policy.entropy().mean()
        self.optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), 0.5)
        self.optimizer.step()
        return rewards.mean()


if __name__ == "__main__":
    agent = Agent()
    for update in range(20_000):
        reward = agent.learn(*agent.collect())
        if update % 20 == 0:
            print(f"update {update} mean reward {reward:.3f}", flush=True)
