"""Ape-X DPG, which is `experiments.ddpg` with actors and priorities: `python -m experiments.ape_x_dpg --help`.

Horgan et al., "Distributed prioritized experience replay", ICLR 2018, in its form for continuous actions: DDPG with
five-step targets, whose actors say with what priorities their transitions enter the learner's replay. The derivative of
the critic by each entry of the action is clipped, and targets are copied from time to time.
"""

from dataclasses import dataclass, field
from typing import Literal

from experiments import ddpg, parts, run


@dataclass(frozen=True)
class Config(ddpg.Config):
    """Flags of the agent; those of `experiments.ddpg` with other defaults, and those of priorities."""

    n_step: run.Count = 5
    sigma: run.NonNegative = 0.3
    target_rate: run.Share = 1.0
    target_period: run.Count = 100
    slope_limit: run.Positive = 1.0
    """What each entry of the critic's derivative by the action is clipped to."""
    priorities: Literal["none", "proportional", "rank"] = "proportional"
    """How the replay draws: uniformly, or by priorities that are proportional to errors or to ranks."""
    alpha: run.NonNegative = 0.6
    """Exponent of the priorities by which the replay draws."""
    beta: run.Unit = 0.4
    """Exponent of the importance weights."""


@dataclass(frozen=True)
class Flags(ddpg.Flags):
    """Train Ape-X DPG (Horgan et al., 2018): DDPG whose actors tell priorities."""

    num_envs: run.Count = 4
    """Environments (lanes) of all actors."""
    actors: run.Count | None = 2
    engine: Literal["ray", "threads", "inline"] = "threads"
    actor_priorities: bool = True
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that DDPG's `check` accepts."""
    import replay

    memory = None
    if config.priorities != "none":
        buffer, batch = parts.shares(config, size)
        memory = replay.prioritised(
            buffer, batch * config.delay, config.n_step,
            alpha=config.alpha, beta=config.beta, rank=config.priorities == "rank", single=True,
        )  # fmt: skip
    agent = ddpg.agent_of(config, spec, slope_limit=config.slope_limit)
    return parts.off_policy.parts(agent, spec, config, size, config.delay, memory)


PAPER = parts.merge(
    parts.presets.SUITE | {"actors": 64, "num_envs": 64, "actor_rows": 50, "steps": 100_000_000, "keep": 1},
    learning_rate=1e-4,
    policy_learning_rate=1e-4,
    hidden=(400, 300),
    batch_size=256,
    buffer_size=1_000_000,
    warmup=10_000,
    updates=4,
)
PRESETS: run.Presets = {
    "local": {"actors": 2, "num_envs": 4, "engine": "threads"},
    "dm-control": PAPER,
}
"""`local` fits two cores. `dm-control` has the paper's 64 actors, for `--engine ray` on a cluster, its step sizes, its
batch and its replay, of which the oldest transitions go first, where the paper takes those of low priority. Both
networks have layers of 400 and 300 units, where the paper's policy has 300 and 200.
"""

experiment = run.Experiment("ape_x_dpg", Flags, ddpg.check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
