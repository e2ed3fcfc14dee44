"""REINFORCE on a walk: one forward for each action, a single backward for each episode."""
import torch
import torch.nn as nn
from torch.distributions import Categorical

torch.manual_seed(543)
policy = nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 2))
optimizer = torch.optim.Adam(policy.parameters(), lr=1e-2)
for episode in range(150):
    position, log_probs, rewards = torch.zeros(4), [], []
    for t in range(int(torch.randint(10, 30, (1,)))):
        choice = Categorical(logits=policy(position))
        action = choice.sample()
        log_probs.append(choice.log_prob(action))
        position = position + torch.randn(4) * 0.1 + (action.float() - 0.5) * 0.2
        rewards.append(-position.abs().sum())
    returns = torch.stack(rewards).flip(0).cumsum(0).flip(0)
    returns = (returns - returns.mean()) / (returns.std() + 1e-6)
    optimizer.zero_grad()
    loss = -(torch.stack(log_probs) * returns).sum()
    loss.backward()
    optimizer.step()
