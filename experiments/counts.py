"""Bonuses for what was visited rarely, around an agent: `python -m experiments.counts --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.curiosity import Module


@dataclass(frozen=True)
class Config(parts.around.Bonus):
    """Flags of the agent."""

    around: parts.around.Around = "dqn"
    coefficient: run.NonNegative = 0.05
    normalise_bonus: bool = False
    of: Literal["states", "pairs", "density", "constant"] = "states"
    """What is counted: states, pairs of state and action as MBIE-EB does, or what a density model of the observation's
    entries makes of them (pseudo-counts); with a constant nothing is, and every step pays 1."""
    cells: run.Count = 16_384
    """Cells of the table that observations which are no numbers are hashed into."""
    levels: run.Pair = 8
    """Values that an entry of the observation is rounded to, for pseudo-counts."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DQN, or another agent, with a bonus by visit counts (Strehl and Littman, 2008; Tang et al., 2017)."""

    env: str = "bellmax/deep-sea"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def module(config: Config, spec: "run.Spec") -> "Module":
    """The module of the bonus that the flags describe."""
    from agents.common import bonuses

    if config.of == "constant":
        return bonuses.constant()
    if config.of == "density":
        return bonuses.pseudo_counts(spec, config.levels)
    return bonuses.counts(spec, config.cells, of=config.of)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.around.check(config, spec, size, lambda: module(config, spec))


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return parts.around.make(config, spec, size, module(config, spec))


PRESETS: run.Presets = {
    "deep-sea": {
        "env": "bellmax/deep-sea",
        "agent.inner": (
            *("hidden=64,64", "layer-norm=false", "batch-size=64", "buffer-size=20000", "warmup=64", "updates=1"),
            *("target-rate=1", "target-period=4", "epsilon-start=0.05", "epsilon-end=0.05"),
        ),
    }
}
"""`deep-sea` is for `bellmax/deep-sea`, of any size."""

experiment = run.Experiment("counts", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
