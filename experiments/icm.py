"""Curiosity about what a forward model mispredicts, around an agent: `python -m experiments.icm --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.curiosity import Module


@dataclass(frozen=True)
class Config(parts.around.Bonus):
    """Flags of the agent."""

    around: parts.around.Around = "a2c"
    normalise_bonus: bool = False
    bonus_learning_rate: run.Positive = 1e-3
    """Step size of the bonus's networks; 1e-3 in the paper."""
    features: Literal["inverse", "random", "raw", "vae"] = "inverse"
    """What the forward model predicts: features of an inverse model, random ones, the observation as it is, or the
    means of an autoencoder."""
    beta: run.Unit = 0.2
    """Share β of the forward model's loss beside that of what learns the features; 0.2 in the paper."""
    through: bool = True
    """Let the forward model's loss train the inverse model's features, as the code of ICM does; the large-scale study
    does not."""
    blocks: run.Whole = 0
    """Residual blocks of a forward model that is told the action at every layer, 4 in the large-scale study; 0 for one
    hidden layer that is told it once, as in ICM."""
    whiten: bool = False
    """Show the networks observations less their mean, over the mean of their deviations, clipped at 5; images only with
    `newest`."""
    models: run.Count = 1
    """Forward models; with more than one their disagreement on random features is what pays."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A2C, or another agent, with the intrinsic curiosity module (Pathak et al., 2017) or a relative."""

    env: str = "bellmax/key-maze"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def module(config: Config, spec: "run.Spec") -> "Module":
    """The module of the bonus that the flags describe."""
    from agents.common import bonuses

    shared, optimiser = parts.around.networks(config, parts.chosen(spec, "auto")), parts.around.optimiser(config)
    if config.models > 1:
        return bonuses.disagreement(spec, optimiser, members=config.models, **shared)
    return bonuses.dynamics(
        spec,
        optimiser,
        kind=config.features,
        beta=config.beta,
        through=config.through,
        blocks=config.blocks or None,
        whiten=config.whiten,
        newest=config.newest,
        **shared,
    )


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    if config.models > 1 and config.features != "random":
        raise ValueError(f"--agent.models {config.models}: they disagree on --agent.features random")
    parts.around.check(config, spec, size, lambda: module(config, spec), consecutive=True)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return parts.around.make(config, spec, size, module(config, spec))


LARGE: dict[str, Any] = {
    "steps": 100_000_000,
    "num_envs": 128,
    "eval_episodes": 16,
    "agent.around": "ppo",
    "agent.inner": (
        *("unroll=128", "epochs=3", "minibatches=8", "learning-rate=1e-4", "anneal=false", "max-grad-norm=inf"),
        *("clip=0.1", "entropy-cost=0.001", "discount=0.99", "hidden=512", "shared=true", "activation=relu"),
    ),
    "agent.apart": True,
    "agent.extrinsic": 0.0,
    "agent.normalise_bonus": True,
    "agent.bonus_learning_rate": 1e-4,
    "agent.bonus_hidden": (512,),
    "agent.bonus_features": 512,
    "agent.beta": 0.5,
    "agent.through": False,
    "agent.blocks": 4,
    "agent.whiten": True,
    "agent.newest": 1,
    "agent.settle": 10_000,
}
PRESETS: run.Presets = {
    "large-scale": LARGE | {"env": "atari/Breakout"},
    "maze": {
        "env": "bellmax/key-maze",
        "env_options": ("reward=none",),
        "steps": 200_000,
        "agent.inner": ("unroll=20", "learning-rate=1e-3", "gae-lambda=1.0", "anneal=false"),
        "agent.extrinsic": 0.0,
        "agent.normalise_bonus": True,
    },
}
"""`large-scale` has the numbers of Burda et al. (2019, the large-scale study): no reward of the task, no ends of
episodes, features that the forward model's loss does not train, and the action at every layer. `maze` explores
`bellmax/key-maze` without its reward."""

experiment = run.Experiment("icm", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
