"""Ape-X, which is `experiments.dqn` with actors: `python -m experiments.ape_x --help`.

Horgan et al., "Distributed prioritized experience replay", ICLR 2018, in its form for discrete actions: double DQN
with a dueling network and three-step targets, whose actors explore each at a rate of its own and say with what
priorities their transitions enter the learner's replay.
"""

from dataclasses import dataclass, field
from typing import Literal

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    dueling: bool = True
    priorities: dqn.Priorities = "proportional"
    alpha: run.NonNegative = 0.6
    beta_end: run.Unit = 0.4
    epsilon_start: run.Unit = 0.4
    epsilon_end: run.Unit = 0.4
    ladder: run.NonNegative = 7.0


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train Ape-X (Horgan et al., 2018): DQN whose actors explore at rates of their own and tell priorities."""

    num_envs: run.Count = 16
    """Environments (lanes) of all actors."""
    actors: run.Count | None = 2
    engine: Literal["ray", "threads", "inline"] = "threads"
    actor_priorities: bool = True
    agent: Config = field(default_factory=Config)


PAPER = {
    "actors": 360,
    "num_envs": 360,
    "actor_rows": 48,
    "env_options": ("protocol=classic", "full_action_space=true"),
}
PRESETS: run.Presets = {
    "local": {"actors": 2, "num_envs": 16, "engine": "threads"},
    "atari": parts.merge(
        parts.presets.ZOO | PAPER,
        learning_rate=2.5e-4 / 4,
        adam_eps=1.5e-7,
        max_grad_norm=40.0,
        double=True,
        dueling=True,
        n_step=3,
        batch_size=512,
        buffer_size=2_000_000,
        priorities="proportional",
        alpha=0.6,
        beta=0.4,
        beta_end=0.4,
        warmup=50_000,
        target_period=2_500,
        epsilon_start=0.4,
        epsilon_end=0.4,
        ladder=7.0,
    ),
}
"""`local` fits two cores. `atari` has the paper's 360 actors, for `--engine ray` on a cluster, whose messages are some
fifty steps, and its replay of two million transitions, of which the oldest go first; the paper lets it grow beyond that
for a hundred updates. It descends by centred RMSProp, where Adam stands here.
"""

experiment = run.Experiment("ape_x", Flags, dqn.check, dqn.make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
