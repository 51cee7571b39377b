"""Surprise and learning progress around an agent: `python -m experiments.surprise --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.curiosity import Module


@dataclass(frozen=True)
class Config(parts.around.Bonus):
    """Flags of the agent."""

    around: parts.around.Around = "trpo"
    coefficient: run.NonNegative = 1e-3
    """Factor η of the bonus, whose mean over a window is at most 1; 1e-3 in the paper."""
    normalise_bonus: bool = False
    kind: Literal["surprisal", "progress"] = "progress"
    """What pays: how improbable a model finds the next state, or how much likelier it has become to it of late."""
    lag: run.Whole = 1
    """Updates k that progress is measured over."""
    radius: run.Positive = 1e-3
    """Divergence κ, in nats, that an update of the model is held to."""
    floor: run.Positive = 1e-3
    """Least standard deviation of what the model predicts."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train TRPO, or another agent, with surprisal or learning progress as a bonus (Achiam and Sastry, 2017)."""

    env: str = "bellmax/cartpole-swingup"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def module(config: Config, spec: "run.Spec") -> "Module":
    """The module of the bonus that the flags describe."""
    from agents.common import bonuses

    return bonuses.surprise(
        spec,
        kind=config.kind,
        lag=config.lag,
        hidden=config.bonus_hidden,
        radius=config.radius,
        floor=config.floor,
    )


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.around.check(config, spec, size, lambda: module(config, spec), consecutive=True)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return parts.around.make(config, spec, size, module(config, spec))


PRESETS: run.Presets = {
    "swingup": {
        "env": "bellmax/cartpole-swingup",
        "steps": 500_000,
        "num_envs": 10,
        "agent.inner": ("unroll=500", "discount=0.995", "gae-lambda=0.95", "hidden=32", "radius=0.01"),
    }
}
"""`swingup` has the numbers of the paper's code for its small tasks: batches of 5,000 steps, networks of 32 units."""

experiment = run.Experiment("surprise", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
