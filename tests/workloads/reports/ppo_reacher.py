"""PPO for a many-joint reaching task (vectorised toy env in numpy)."""
import numpy as np
import torch
import torch.nn as nn
from torch.distributions import MultivariateNormal

N_ENVS, HORIZON, JOINTS = 64, 64, 12
K_EPOCHS, MINIBATCH = 10, 1024
GAMMA, LAM, EPS_CLIP = 0.99, 0.95, 0.2


class ReacherVec:
    """planar chain of JOINTS links; the action is a joint velocity, the goal a point"""

    def __init__(self, n, seed=0):
        self.n, self.rng = n, np.random.default_rng(seed)
        self.q = self.rng.uniform(-1, 1, (n, JOINTS)).astype(np.float32)
        self.goal = self._goal(n)
        self.t = self.rng.integers(0, 100, n)

    def _goal(self, k):
        r, a = self.rng.uniform(2, 8, k), self.rng.uniform(-np.pi, np.pi, k)
        return np.stack([r * np.cos(a), r * np.sin(a)], 1).astype(np.float32)

    def tip(self):
        a = np.cumsum(self.q, 1)
        return np.stack([np.cos(a).sum(1), np.sin(a).sum(1)], 1)

    def obs(self):
        return np.concatenate([np.sin(self.q), np.cos(self.q), self.goal / 8, (self.goal - self.tip()) / 8], 1).astype(np.float32)

    def step(self, act):
        act = np.clip(act, -1, 1)
        self.q += 0.1 * act
        dist = np.linalg.norm(self.tip() - self.goal, axis=1)
        rew = -0.1 * dist - 0.005 * (act ** 2).sum(1)
        self.t += 1
        done = self.t >= 100
        k = int(done.sum())
        if k:
            self.q[done] = self.rng.uniform(-1, 1, (k, JOINTS))
            self.goal[done] = self._goal(k)
            self.t[done] = 0
        return self.obs(), rew.astype(np.float32), done.astype(np.float32)


def mlp(i, o, h=128):
    return nn.Sequential(nn.Linear(i, h), nn.Tanh(), nn.Linear(h, h), nn.Tanh(), nn.Linear(h, o))


class ActorCritic(nn.Module):
    def __init__(self, obs_dim, act_dim, action_std_init=0.6):
        super().__init__()
        self.actor = mlp(obs_dim, act_dim)
        self.critic = mlp(obs_dim, 1)
        self.register_buffer("action_var", torch.full((act_dim,), action_std_init ** 2))

    def set_action_std(self, std):
        self.action_var.fill_(std ** 2)

    def dist(self, obs):
        mean = torch.tanh(self.actor(obs))
        cov_mat = torch.diag_embed(self.action_var.expand_as(mean))
        return MultivariateNormal(mean, cov_mat)

    @torch.no_grad()
    def act(self, obs):
        d = self.dist(obs)
        a = d.sample()
        return a, d.log_prob(a), self.critic(obs).squeeze(-1)

    def evaluate(self, obs, act):
        d = self.dist(obs)
        return d.log_prob(act), self.critic(obs).squeeze(-1), d.entropy()


class PPO:
    def __init__(self, env):
        self.env = env
        self.policy = ActorCritic(env.obs().shape[1], JOINTS)
        self.opt = torch.optim.Adam(self.policy.parameters(), lr=3e-4)
        self.std = 0.6

    def rollout(self):
        O = torch.empty(HORIZON, N_ENVS, self.env.obs().shape[1])
        A = torch.empty(HORIZON, N_ENVS, JOINTS)
        LP, V, R, D = (torch.empty(HORIZON, N_ENVS) for _ in range(4))
        o = torch.from_numpy(self.env.obs())
        for t in range(HORIZON):
            O[t] = o
            A[t], LP[t], V[t] = self.policy.act(o)
            nxt, r, d = self.env.step(A[t].numpy())
            R[t], D[t], o = torch.from_numpy(r), torch.from_numpy(d), torch.from_numpy(nxt)
        with torch.no_grad():
            nv = self.policy.critic(o).squeeze(-1)
        adv, gae = torch.empty_like(R), torch.zeros(N_ENVS)
        for t in reversed(range(HORIZON)):
            delta = R[t] + GAMMA * nv * (1 - D[t]) - V[t]
            gae = delta + GAMMA * LAM * (1 - D[t]) * gae
            adv[t], nv = gae, V[t]
        return O.flatten(0, 1), A.flatten(0, 1), LP.flatten(), adv.flatten(), (adv + V).flatten(), R.mean().item()

    def update(self, O, A, LP, adv, ret):
        adv = (adv - adv.mean()) / (adv.std() + 1e-8)
        for _ in range(K_EPOCHS):
            for idx in torch.randperm(len(O)).split(MINIBATCH):
                lp, v, ent = self.policy.evaluate(O[idx], A[idx])
                ratio = torch.exp(lp - LP[idx])
                a = adv[idx]
                loss = -torch.min(ratio * a, ratio.clamp(1 - EPS_CLIP, 1 + EPS_CLIP) * a).mean()
                loss = loss + 0.5 * (v - ret[idx]).pow(2).mean() - 0.001 * ent.mean()
                self.opt.zero_grad()
                loss.backward()
                self.opt.step()

    def learn(self, iterations):
        for it in range(iterations):
            *batch, rew = self.rollout()
            self.update(*batch)
            if it % 25 == 24:
                self.std = max(0.1, self.std - 0.02)
                self.policy.set_action_std(self.std)
            if it % 5 == 0:
                print(f"iter {it:4d}  mean step reward {rew:.3f}  std {self.std:.2f}", flush=True)


if __name__ == "__main__":
    torch.manual_seed(1)
    PPO(ReacherVec(N_ENVS)).learn(5000)
