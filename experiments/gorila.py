"""Gorila, which is `experiments.dqn` with actors that send gradients: `python -m experiments.gorila --help`.

Nair et al., "Massively parallel methods for deep reinforcement learning", ICML workshop 2015, in its bundled form: an
actor, its replay and a learner of its own are one, and send gradients to the one who descends them.
"""

from dataclasses import dataclass, field
from typing import Literal

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    buffer_size: run.Count = 50_000
    """Transitions that the replay of each actor keeps."""
    double: bool = False
    n_step: run.Count = 1


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train Gorila (Nair et al., 2015): DQN by gradients of actors with a replay each."""

    num_envs: run.Count = 16
    """Environments (lanes) of all actors."""
    actors: run.Count | None = 2
    engine: Literal["ray", "threads", "inline"] = "threads"
    ahead: run.Whole = 0
    send: Literal["rows", "gradients"] = "gradients"
    most_age: run.Whole | None = 20
    outliers: run.NonNegative = 5.0
    agent: Config = field(default_factory=Config)


PRESETS: run.Presets = {
    "local": {"actors": 2, "num_envs": 16, "engine": "threads"},
    "atari": parts.merge(
        parts.presets.ZOO | {"actors": 100, "num_envs": 100, "most_age": 200},
        buffer_size=1_000_000,
        double=False,
        n_step=1,
        target_period=60_000,
    ),
}
"""`local` fits two cores. `atari` has the paper's hundred actors, for `--engine ray` on a cluster, each with a replay
of a million rows, and a target that moves every 60,000 updates. The paper does not tell how old a gradient may be and
which errors are outliers, and descends by AdaGrad, where Adam stands here.
"""

experiment = run.Experiment("gorila", Flags, dqn.check, dqn.make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
