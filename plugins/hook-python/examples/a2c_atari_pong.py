"""Trains A2C (Mnih et al. 2016, arXiv:1602.01783, in step) on Pong, and prints its noise scale in rollouts.

pip install noisescale torch ale-py gymnasium opencv-python-headless
npx pnpm@12 noisescale serve          # in the checkout, in another terminal
python examples/a2c_atari_pong.py     # 250 updates, half a minute; --steps 11500 learns to win, in 14 minutes of a core

Time steps of one environment depend on each other: the environments are the draws, and `groups` says so. Advantages are
those of the whole batch before it is split, so that each part's loss is part of the same mean.
"""

import argparse
import json
from collections import deque

import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from gymnasium.vector import AutoresetMode
from torch import nn

import noisescale

ENVIRONMENTS, LENGTH, PARTS = 16, 8, 8
DISCOUNT, GAE, ENTROPY, CRITIC, RATE = 0.99, 0.95, 0.01, 0.5, 1e-3
# Pong's own: stay, up, down.
ACTIONS = np.array([0, 2, 3])
# Of 42 × 42 the rows between the walls, without the scores; and the grey of the field.
FIELD, GREY = slice(7, 38), 87


class ActorCritic(nn.Module):
    """A policy and a value for each stack of four frames, [rows, 4, 42, 42] bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(4, 16, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 4, stride=2),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 6 * 9, 256),
            nn.ReLU(),
        )
        self.policy, self.value = nn.Linear(256, len(ACTIONS)), nn.Linear(256, 1)

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body((frames[:, :, FIELD].float() - GREY) / 64)
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


def in_rollouts(watcher: noisescale.Watcher) -> str:
    """B_simple and its interval; the collector counts time steps, and a rollout is what is drawn."""
    snapshot = watcher.snapshot
    if snapshot is None:
        return "no collector has answered"
    known = (snapshot["b_simple"], snapshot["b_simple_low"], snapshot["b_simple_high"])
    point, low, high = ("unknown" if steps is None else f"{steps / LENGTH:.3g}" for steps in known)
    return f"B_simple in rollouts of {LENGTH} time steps {point} (low {low}, high {high}); a batch has {ENVIRONMENTS}"


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--run")
    arguments.add_argument("--steps", type=int, default=250)
    options = arguments.parse_args()

    torch.manual_seed(0)
    # Its small batches gain nothing from more.
    torch.set_num_threads(1)
    # An environment whose episode ended shows the next one's first frames.
    environments = AtariVectorEnv(
        "pong",
        num_envs=ENVIRONMENTS,
        num_threads=1,
        img_height=42,
        img_width=42,
        autoreset_mode=AutoresetMode.SAME_STEP,
    )
    model = ActorCritic()
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE, eps=1e-5)
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
    score = np.zeros(ENVIRONMENTS)
    scores: deque[float] = deque(maxlen=20)
    groups = torch.arange(ENVIRONMENTS).repeat(LENGTH)
    for update in range(1, options.steps + 1):
        frames = torch.empty(LENGTH, ENVIRONMENTS, 4, 42, 42, dtype=torch.uint8)
        actions = torch.empty(LENGTH, ENVIRONMENTS, dtype=torch.long)
        rewards, ended, values = (torch.empty(LENGTH, ENVIRONMENTS) for _ in range(3))
        with torch.no_grad():
            for time in range(LENGTH):
                frames[time] = torch.from_numpy(observed)
                logits, values[time] = model(frames[time])
                actions[time] = torch.distributions.Categorical(logits=logits, validate_args=False).sample()
                observed, reward, terminated, truncated, _ = environments.step(ACTIONS[actions[time].numpy()])
                over = terminated | truncated
                rewards[time], ended[time] = torch.from_numpy(reward), torch.from_numpy(over)
                score += reward
                scores.extend(score[over])
                score[over] = 0
            last = model(torch.from_numpy(observed))[1]
        advantages = advantages_of(rewards, ended, values, last)
        returns = advantages + values
        optimizer.zero_grad()
        batch = [tensor.flatten(0, 1) for tensor in (frames, actions, advantages, returns)]
        watcher.backward(loss_of, batch, chunks=PARTS, groups=groups)
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
        if update % 500 == 0:
            steps = update * LENGTH * ENVIRONMENTS
            line = f"{steps} time steps: mean score of the last {len(scores)} games {np.mean(scores):.1f}"
            print(f"{line}; {in_rollouts(watcher)}", flush=True)
    environments.close()
    arrived = watcher.close()
    print(in_rollouts(watcher))
    print(json.dumps({"arrived": arrived, "measurements": watcher.measurements, "snapshot": watcher.snapshot}))


if __name__ == "__main__":
    main()
