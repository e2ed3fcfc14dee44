"""Proximal policy optimisation in one file: four carts, 128 steps each, four passes over four minibatches."""
import random
import time
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn as nn
import torch.optim as optim
from torch.distributions.categorical import Categorical


@dataclass
class Args:
    total_timesteps: int = 2_000_000
    num_envs: int = 4
    num_steps: int = 128
    num_minibatches: int = 4
    update_epochs: int = 4
    learning_rate: float = 2.5e-4


class Cart:
    def __init__(self, seed):
        self.rng = random.Random(seed)

    def reset(self):
        self.t, self.s = 0, [self.rng.uniform(-0.05, 0.05) for _ in range(4)]
        return np.array(self.s, np.float32)

    def step(self, action):
        x, v, a, w = self.s
        f = 10.0 if action == 1 else -10.0
        temp = (f + 0.05 * w * w * np.sin(a)) / 1.1
        acc = (9.8 * np.sin(a) - np.cos(a) * temp) / (0.5 * (4 / 3 - 0.1 * np.cos(a) ** 2 / 1.1))
        self.s = [x + 0.02 * v, v + 0.02 * (temp - 0.05 * acc * np.cos(a) / 1.1), a + 0.02 * w, w + 0.02 * acc]
        self.t += 1
        return np.array(self.s, np.float32), 1.0, abs(self.s[0]) > 2.4 or abs(self.s[2]) > 0.21 or self.t >= 500


class Vector:
    def __init__(self, n):
        self.carts = [Cart(i) for i in range(n)]

    def reset(self):
        return np.stack([cart.reset() for cart in self.carts])

    def step(self, actions):
        results = [cart.step(action) for cart, action in zip(self.carts, actions)]
        observed = np.stack([cart.reset() if done else s for cart, (s, _, done) in zip(self.carts, results)])
        return observed, np.array([r for _, r, _ in results]), np.array([d for _, _, d in results])


def layer_init(layer, std=np.sqrt(2)):
    torch.nn.init.orthogonal_(layer.weight, std)
    torch.nn.init.constant_(layer.bias, 0.0)
    return layer


class Agent(nn.Module):
    def __init__(self):
        super().__init__()
        self.critic = nn.Sequential(layer_init(nn.Linear(4, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(), layer_init(nn.Linear(64, 1), 1.0))
        self.actor = nn.Sequential(layer_init(nn.Linear(4, 64)), nn.Tanh(), layer_init(nn.Linear(64, 64)), nn.Tanh(), layer_init(nn.Linear(64, 2), 0.01))

    def get_value(self, x):
        return self.critic(x)

    def get_action_and_value(self, x, action=None):
        probs = Categorical(logits=self.actor(x))
        action = probs.sample() if action is None else action
        return action, probs.log_prob(action), probs.entropy(), self.critic(x)


if __name__ == "__main__":
    args = Args()
    batch_size = args.num_envs * args.num_steps
    minibatch_size = batch_size // args.num_minibatches
    torch.manual_seed(1)
    envs, agent = Vector(args.num_envs), Agent()
    optimizer = optim.Adam(agent.parameters(), lr=args.learning_rate, eps=1e-5)
    shape = (args.num_steps, args.num_envs)
    obs, actions, logprobs, rewards, dones, values = torch.zeros(*shape, 4), *(torch.zeros(shape) for _ in range(5))
    next_obs, next_done, global_step, start = torch.Tensor(envs.reset()), torch.zeros(args.num_envs), 0, time.time()
    for iteration in range(1, args.total_timesteps // batch_size + 1):
        optimizer.param_groups[0]["lr"] = (1.0 - (iteration - 1.0) / (args.total_timesteps // batch_size)) * args.learning_rate
        for step in range(args.num_steps):
            global_step += args.num_envs
            obs[step], dones[step] = next_obs, next_done
            with torch.no_grad():
                action, logprob, _, value = agent.get_action_and_value(next_obs)
            actions[step], logprobs[step], values[step] = action, logprob, value.flatten()
            observed, reward, done = envs.step(action.numpy())
            rewards[step] = torch.tensor(reward).view(-1)
            next_obs, next_done = torch.Tensor(observed), torch.Tensor(done)
        with torch.no_grad():
            next_value, advantages, last = agent.get_value(next_obs).reshape(1, -1), torch.zeros_like(rewards), 0
            for t in reversed(range(args.num_steps)):
                alive = 1.0 - (next_done if t == args.num_steps - 1 else dones[t + 1])
                following = next_value if t == args.num_steps - 1 else values[t + 1]
                delta = rewards[t] + 0.99 * following * alive - values[t]
                advantages[t] = last = delta + 0.99 * 0.95 * alive * last
            returns = advantages + values
        flat = [t.reshape(-1, *t.shape[2:]) for t in (obs, logprobs, actions, advantages, returns, values)]
        b_obs, b_logprobs, b_actions, b_advantages, b_returns, b_values = flat
        b_inds, clipfracs = np.arange(batch_size), []
        for epoch in range(args.update_epochs):
            np.random.shuffle(b_inds)
            for begin in range(0, batch_size, minibatch_size):
                mb = b_inds[begin : begin + minibatch_size]
                _, newlogprob, entropy, newvalue = agent.get_action_and_value(b_obs[mb], b_actions.long()[mb])
                ratio = (newlogprob - b_logprobs[mb]).exp()
                with torch.no_grad():
                    clipfracs += [((ratio - 1.0).abs() > 0.2).float().mean().item()]
                advantage = (b_advantages[mb] - b_advantages[mb].mean()) / (b_advantages[mb].std() + 1e-8)
                pg_loss = torch.max(-advantage * ratio, -advantage * ratio.clamp(0.8, 1.2)).mean()
                v_loss = 0.5 * ((newvalue.view(-1) - b_returns[mb]) ** 2).mean()
                loss = pg_loss - 0.01 * entropy.mean() + 0.5 * v_loss
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(agent.parameters(), 0.5)
                optimizer.step()
        print(f"iteration {iteration} SPS: {int(global_step / (time.time() - start))} clipfrac {np.mean(clipfracs):.3f}", flush=True)
