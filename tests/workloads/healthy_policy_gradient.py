"""Actor-critic on a vectorised pendulum: 2048 environments step together as one tensor."""
import argparse
import math

import torch
from torch import nn


class Pendulums:
    def __init__(self, n):
        self.angle = (torch.rand(n) * 2 - 1) * math.pi
        self.speed = torch.zeros(n)

    def observe(self):
        return torch.stack([self.angle.cos(), self.angle.sin(), self.speed / 8], 1)

    def step(self, torque):
        reward = -(self.angle.remainder(2 * math.pi) - math.pi).abs().neg().add(math.pi).square() - 0.1 * self.speed.square()
        self.speed = (self.speed + 0.05 * (15 * self.angle.sin() + 3 * torque)).clamp(-8, 8)
        self.angle = self.angle + 0.05 * self.speed
        return reward / 16


class ActorCritic(nn.Module):
    def __init__(self, width=256):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(3, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh())
        self.mean, self.value = nn.Linear(width, 1), nn.Linear(width, 1)

    def forward(self, observation):
        h = self.body(observation)
        return self.mean(h).float().squeeze(1), self.value(h).float().squeeze(1)


def main():
    cli = argparse.ArgumentParser()
    cli.add_argument("--envs", type=int, default=2048)
    cli.add_argument("--horizon", type=int, default=8)
    cli.add_argument("--updates", type=int, default=5000)
    args = cli.parse_args()
    torch.manual_seed(0)
    env, model = Pendulums(args.envs), ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-4, fused=True)
    for update in range(args.updates):
        log_probs, values, rewards = [], [], []
        for _ in range(args.horizon):
            with torch.autocast("cpu", torch.bfloat16):
                mean, value = model(env.observe())
            policy = torch.distributions.Normal(mean, 0.5)
            action = policy.sample()
            log_probs.append(policy.log_prob(action))
            values.append(value)
            rewards.append(env.step(action.clamp(-2, 2)))
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            ret = model(env.observe())[1]
        returns = []
        for reward in reversed(rewards):
            ret = reward + 0.95 * ret
            returns.append(ret)
        returns, values = torch.stack(returns[::-1]), torch.stack(values)
        advantage = returns - values
        loss = -(torch.stack(log_probs) * advantage.detach()).mean() + 0.5 * advantage.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if update % 50 == 0:
            print(f"update {update} reward {torch.stack(rewards).mean().item():.3f}", flush=True)


if __name__ == "__main__":
    main()
