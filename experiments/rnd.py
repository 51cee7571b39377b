"""Random network distillation around an agent: `python -m experiments.rnd --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.curiosity import Module


@dataclass(frozen=True)
class Config(parts.around.Bonus):
    """Flags of the agent."""

    apart: bool = True
    """Learn from bonuses as a second stream of rewards with a value of its own, as the paper does and of which ppo and
    a2c are capable."""
    extrinsic: run.NonNegative = 2.0
    """Factor of the task's reward, or of the first stream's advantages; 0 learns from bonuses alone."""
    whiten: bool = True
    """Show the networks observations less their mean, over their deviation, clipped at 5; images only with `newest`."""
    predicted: run.Share = 1.0
    """Share of the steps, drawn at random, that the predictor learns from: 0.25 in the paper with 128 environments."""
    episodic: bool = False
    """Pay for what the episode has not shown yet, by as much as the predictor errs above its mean, as NGU does."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PPO, or another agent, with the bonus of random network distillation (Burda et al., 2019)."""

    env: str = "bellmax/key-maze"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def module(config: Config, spec: "run.Spec") -> "Module":
    """The module of the bonus that the flags describe."""
    from agents.common import bonuses

    shared = parts.around.networks(config, parts.chosen(spec, "auto"))
    distilled = bonuses.distillation(
        spec,
        parts.around.optimiser(config),
        whiten=config.whiten,
        newest=config.newest,
        share=config.predicted,
        **shared,
    )
    if not config.episodic:
        return distilled
    return bonuses.modulated(bonuses.episodic(spec, parts.around.optimiser(config), **shared), distilled)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.around.check(config, spec, size, lambda: module(config, spec), consecutive=config.episodic)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return parts.around.make(config, spec, size, module(config, spec))


PRESETS: run.Presets = {
    "atari": {
        "env": "atari/MontezumaRevenge",
        "env_options": ("protocol=sticky",),
        "steps": 50_000_000,
        "num_envs": 32,
        "eval_episodes": 16,
        "agent.inner": (
            *("unroll=128", "epochs=4", "minibatches=4", "learning-rate=1e-4", "anneal=false", "max-grad-norm=inf"),
            *("clip=0.1", "entropy-cost=0.001", "discount=0.999", "normalise-advantages=false", "clip-rewards=true"),
            *("hidden=512", "shared=true", "activation=relu"),
        ),
        "agent.bonus_hidden": (512,),
        "agent.bonus_features": 512,
        "agent.newest": 1,
        "agent.settle": 204_800,
    },
    "key-corridor": {
        "env": "envpool/MiniGrid-KeyCorridorS3R3-v0",
        "num_envs": 16,
        "steps": 2_000_000,
        "agent.inner": ("unroll=128", "learning-rate=3e-4", "anneal=false", "discount=0.99", "entropy-cost=0.001"),
        "agent.newest": 3,
        "agent.settle": 8_192,
    },
    "key-maze": {
        "env": "bellmax/key-maze",
        "num_envs": 16,
        "steps": 500_000,
        "agent.inner": ("unroll=128", "learning-rate=1e-3", "anneal=false", "discount=0.99", "clip=0.1"),
        "agent.bonus_learning_rate": 1e-3,
        "agent.settle": 8_192,
    },
}
"""`atari` has the numbers of the paper's code with 32 environments: two discounts, statistics from 6,400 random steps
in each environment, sticky actions, clipped rewards. Its networks have one layer after the convolutions fewer than the
paper's. `key-corridor` is for MiniGrid's, whose images are whitened for the bonus; `key-maze` for
`bellmax/key-maze`."""

experiment = run.Experiment("rnd", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
