"""A Q-learner that pays itself for what is new to it: `python -m experiments.curiosity --help`."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from experiments import dqn, parts, run

if TYPE_CHECKING:
    from agents.common.curiosity import Module

Bonus = Literal["rnd", "counts", "icm", "icm-stopped", "random", "raw"]


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn`, and those of the bonus."""

    n_step: run.Count = 1
    bonus: Bonus = "rnd"
    """What pays: random network distillation, visit counts, a forward model in the features of an inverse model whose
    features it trains too or not ("icm", "icm-stopped"), in random features, or in raw observations."""
    coefficient: run.NonNegative = 1.0
    """Factor of the bonus in the reward; 0 learns from the task's reward alone."""
    extrinsic: run.NonNegative = 1.0
    """Factor of the task's reward; 0 learns from the bonus alone."""
    normalise_bonus: bool = True
    """Divide the bonus by the standard deviation of its discounted sums."""
    bonus_learning_rate: run.Positive = 1e-4
    """Step size of the bonus's networks."""
    bonus_hidden: tuple[run.Count, ...] = (64, 64)
    """Units of each layer of the bonus's networks; at least one layer."""
    bonus_features: run.Count = 32
    """Features that the bonus's networks compute."""
    bonus_cells: run.Count = 65_536
    """Cells of the table that visits are counted in."""
    whiten: bool = False
    """Show random network distillation observations less their mean, over their deviation, clipped at 5."""


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train DQN with a bonus for what is new: RND (Burda et al., 2019), counts, or ICM (Pathak et al., 2017)."""

    env: str = "bellmax/deep-sea"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what DQN refuses, a bonus without a layer, and forward models of states that are not one step apart.

    Raises:
      ValueError: naming the flag.
    """
    dqn.check(config, spec, size)
    if not config.bonus_hidden:
        raise ValueError("--agent.bonus-hidden (empty): must be one layer or more")
    if config.bonus in ("icm", "icm-stopped", "random", "raw") and config.n_step > 1:
        raise ValueError(
            f"--agent.n-step {config.n_step}: --agent.bonus {config.bonus} learns what one action leads to; must be 1"
        )


def module(config: Config, spec: "run.Spec") -> "Module":
    """The module of the bonus that the flags describe."""
    from agents.common import bonuses, optimisers

    optimiser = optimisers.adam(config.bonus_learning_rate)
    cnn = parts.chosen(spec, config.cnn)
    shared: dict[str, Any] = {"hidden": config.bonus_hidden, "features": config.bonus_features, "cnn": cnn}
    if config.bonus == "counts":
        return bonuses.counts(spec, config.bonus_cells)
    if config.bonus == "rnd":
        return bonuses.distillation(spec, optimiser, whiten=config.whiten, **shared)
    kind: bonuses.Features = config.bonus if config.bonus in ("random", "raw") else "inverse"
    return bonuses.dynamics(spec, optimiser, kind=kind, through=config.bonus == "icm", **shared)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import curiosity

    inner = dqn.make(replace(config, clip_rewards=False), spec, size)
    agent, replay = curiosity.rewarded(
        inner.agent,
        inner.replay,
        module(config, spec),
        spec,
        coefficient=config.coefficient,
        discount=config.discount,
        normalise=config.normalise_bonus,
        extrinsic=config.extrinsic,
        clip=1.0 if config.clip_rewards else None,
    )
    return run.Parts(agent, replay, inner.schedule)


DEEP_SEA = {
    "env": "bellmax/deep-sea",
    "num_envs": 1,
    "agent.hidden": (64, 64),
    "agent.layer_norm": False,
    "agent.batch_size": 64,
    "agent.buffer_size": 20_000,
    "agent.warmup": 64,
    "agent.updates": 1,
    "agent.target_rate": 1.0,
    "agent.target_period": 4,
    "agent.epsilon_start": 0.05,
    "agent.epsilon_end": 0.05,
}
PRESETS: run.Presets = {"deep-sea": DEEP_SEA}
"""`deep-sea` is for `bellmax/deep-sea`, of any size."""

experiment = run.Experiment("curiosity", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
