"""A3C, which is `experiments.a2c` with actors that send gradients: `python -m experiments.a3c --help`.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016. An actor plays T steps with the
parameters that it was given and sends the gradient of A2C's loss; the learner descends it, with optimiser statistics
that all share, and gives that actor the new parameters. So a gradient lacks the updates that others made meanwhile.
"""

from dataclasses import dataclass, field
from typing import Literal

from experiments import a2c, run


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A3C (Mnih et al., 2016): A2C by gradients of actors that do not wait for each other."""

    env: str = "bellmax/cartpole"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) of all actors."""
    actors: run.Count | None = 2
    engine: Literal["ray", "threads", "inline"] = "threads"
    ahead: run.Whole = 0
    send: Literal["rows", "gradients"] = "gradients"
    agent: a2c.Config = field(default_factory=a2c.Config)


PRESETS: run.Presets = {
    "local": {"actors": 2, "num_envs": 16, "engine": "threads"},
    "atari": {**a2c.PRESETS["atari"], "actors": 16, "num_envs": 16, "agent.max_grad_norm": 40.0, "agent.anneal": True},
}
"""`local` fits two cores. `atari` has the paper's sixteen actors, an environment and five steps each, and its bound on
the gradient; its step sizes were drawn for each run, and those of Stable-Baselines3's A2C stand in for them.
"""

experiment = run.Experiment("a3c", Flags, a2c.check, a2c.make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
