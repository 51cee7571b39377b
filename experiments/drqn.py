"""DRQN: `python -m experiments.drqn --help`. The agent is `agents.dqn` with a recurrent network and longer windows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeVar

from experiments import parts, run
from experiments.parts.recurrent import default_core, recurrent, wrapped

if TYPE_CHECKING:
    from collections.abc import Callable

    import flax.linen as nn

    Drqn = TypeVar("Drqn", bound="Config")


@dataclass(frozen=True)
class Config(parts.recurrent.Learning):
    """Flags of the agent."""

    sampling: Literal["random", "sequential"] = "random"
    """Draw windows that begin anywhere, or with an episode."""
    alpha: run.NonNegative = 0.0
    """Exponent of the priorities by which sequential windows are drawn; 0 draws them uniformly."""
    beta: run.Unit = 0.4
    """Exponent of the importance weights of windows that are drawn by priority."""
    length: run.Count = 10
    """Transitions in a window of the replay."""
    double: bool = False
    """Select the target's action with the online network."""
    error_clip: run.Positive | None = None
    """Bound δ of Huber's loss, 1 for rewards of ±1 as in Atari; none for the squared loss, which large returns need."""
    hold: run.Count = 1
    """Most steps that a random action is held for, drawn with P(n) ∝ 1/n² (εz-greedy); 1 for ε-greedy."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DRQN (Hausknecht and Stone, 2015) on a task with discrete actions."""

    env: str = "bellmax/flickering-catch"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.recurrent.check(config, spec, size, config.length + config.frames)
    if config.alpha > 0 and config.sampling == "random":
        raise ValueError(f"--agent.alpha {config.alpha}: must be 0, or positive with --agent.sampling sequential")


def make(
    config: "Drqn", spec: "run.Counted", size: run.Size, core: "Callable[[Drqn], nn.Module | None]" = default_core
) -> run.Parts:
    """The parts of one run, of flags that `check` accepts.

    Args:
      config: the agent's flags.
      spec: the task.
      size: of the run.
      core: from flags to the recurrent core, or None without one.
    """
    import replay
    from agents.common import objectives, optimisers
    from agents.dqn import dqn

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = dqn(
        recurrent(config, spec, core),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        objective=objectives.expected(config.error_clip),
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=config.double,
    )
    buffer, batch = parts.shares(config, size)
    if config.sampling == "random":
        storage = replay.uniform(buffer, batch, config.length, config.frames)
    else:
        sizes = (buffer, batch, config.length, config.frames)
        storage = replay.prioritised(*sizes, alpha=config.alpha, beta=config.beta, episodes=True)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(wrapped(agent, config, spec, config.hold), storage, schedule)


experiment = run.Experiment("drqn", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
