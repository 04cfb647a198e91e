"""Trains A2C (Mnih et al. 2016, arXiv:1602.01783, in step) on Pong, and prints its noise scale in rollouts.

pip install noisescale torch ale-py gymnasium opencv-python-headless
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/a2c_atari_pong.py     # 250 updates, half a minute

Time steps of one environment depend on each other: the environments are the draws, and `groups` says so. Advantages are
normalised over the whole batch before it is split, so that each part's loss is part of the same mean.
"""

import argparse
import json

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from torch import nn

import noisescale

ENVIRONMENTS, LENGTH, PARTS = 16, 8, 8
DISCOUNT, GAE, ENTROPY, CRITIC = 0.99, 0.95, 0.01, 0.5
# Pong's own: stay, up, down.
ACTIONS = np.array([0, 2, 3])


class ActorCritic(nn.Module):
    """A policy and a value for each stack of four frames, [rows, 4, 84, 84] bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, 16, 8, stride=4),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 9 * 9, 256),
            nn.ReLU(),
        )
        self.policy, self.value = nn.Linear(256, len(ACTIONS)), nn.Linear(256, 1)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(frames.float() / 255)
        return self.policy(hidden), self.value(hidden).squeeze(-1)


def advantages_of(rewards: torch.Tensor, ended: torch.Tensor, values: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
    """Generalized advantage estimates, [time, environments] (Schulman et al. 2016, arXiv:1506.02438)."""
    advantages = torch.zeros_like(rewards)
    running = torch.zeros_like(last)
    following = last
    for time in reversed(range(len(rewards))):
        goes_on = 1 - ended[time]
        running = rewards[time] + DISCOUNT * following * goes_on - values[time] + DISCOUNT * GAE * goes_on * running
        advantages[time] = running
        following = values[time]
    return advantages


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--run")
    arguments.add_argument("--steps", type=int, default=250)
    options = arguments.parse_args()

    torch.manual_seed(0)
    # Its small batches gain nothing from more, and the environments have threads of their own.
    torch.set_num_threads(1)
    environments = AtariVectorEnv("pong", num_envs=ENVIRONMENTS, noop_max=30)
    model = ActorCritic()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=7e-4, alpha=0.99, eps=1e-5)
    watcher = noisescale.watch(model, optimizer, every=1, run=options.run, project="pong", unit="timestep")

    def loss_of(
        frames: torch.Tensor, actions: torch.Tensor, advantages: torch.Tensor, returns: torch.Tensor
    ) -> torch.Tensor:
        logits, values = model(frames)
        policy = torch.distributions.Categorical(logits=logits, validate_args=False)
        actor = -(policy.log_prob(actions) * advantages).mean()
        loss: torch.Tensor = actor + CRITIC * (returns - values).square().mean() - ENTROPY * policy.entropy().mean()
        return loss

    observed, _ = environments.reset(seed=0)
    score, scores = np.zeros(ENVIRONMENTS), []
    groups = torch.arange(ENVIRONMENTS).repeat(LENGTH)
    # The step after an episode's last one only resets its environment: there is nothing to learn from its action.
    resets = np.zeros(ENVIRONMENTS, dtype=bool)
    for update in range(options.steps):
        frames = torch.empty(LENGTH, ENVIRONMENTS, 4, 84, 84, dtype=torch.uint8)
        actions = torch.empty(LENGTH, ENVIRONMENTS, dtype=torch.long)
        rewards, ended, values, learned = (torch.empty(LENGTH, ENVIRONMENTS) for _ in range(4))
        with torch.no_grad():
            for time in range(LENGTH):
                frames[time] = torch.from_numpy(observed)
                logits, values[time] = model(frames[time])
                actions[time] = torch.distributions.Categorical(logits=logits).sample()
                learned[time] = torch.from_numpy(~resets).float()
                observed, reward, terminated, truncated, _ = environments.step(ACTIONS[actions[time].numpy()])
                resets = terminated | truncated
                rewards[time], ended[time] = torch.from_numpy(reward), torch.from_numpy(resets)
                score += reward
                scores += score[resets].tolist()
                score[resets] = 0
            last = model(torch.from_numpy(observed))[1]
        advantages = advantages_of(rewards, ended, values, last)
        returns = advantages + values
        used = learned.bool()
        spread = advantages[used].std().clamp(min=1e-8)
        rows = used.flatten()
        batch = (frames, actions, (advantages - advantages[used].mean()) / spread, returns)
        optimizer.zero_grad()
        watcher.backward(loss_of, [tensor.flatten(0, 1)[rows] for tensor in batch], chunks=PARTS, groups=groups[rows])
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if update % 1000 == 999:
            print(f"{update + 1} updates: mean score of the last 50 games {np.mean(scores[-50:]):.1f}", flush=True)
    environments.close()
    arrived = watcher.close()
    if watcher.snapshot is not None:
        # A rollout is what is drawn; the collector counts its time steps.
        known = (watcher.snapshot["b_simple"], watcher.snapshot["b_simple_low"], watcher.snapshot["b_simple_high"])
        point, low, high = ("unknown" if steps is None else f"{steps / LENGTH:.3g}" for steps in known)
        print(
            f"B_simple in rollouts of {LENGTH} time steps: {point} (low {low}, high {high}); a batch has {ENVIRONMENTS}"
        )
    print(json.dumps({"arrived": arrived, "measurements": watcher.measurements, "snapshot": watcher.snapshot}))


if __name__ == "__main__":
    main()
