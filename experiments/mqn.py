"""MQN, RMQN and FRMQN: `python -m experiments.mqn --help`. `experiments.drqn` with attention over past rows."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import drqn, parts, run

if TYPE_CHECKING:
    import flax.linen as nn


@dataclass(frozen=True)
class Config(drqn.Config):
    """Flags of the agent."""

    memory: Literal["mqn", "rmqn", "frmqn", "lstm", "gru", "none"] = "frmqn"  # type: ignore[assignment]
    """What is remembered: past rows, read from a feed-forward or recurrent context, with feedback of what was read; or
    as in DRQN."""
    rows: run.Count = 50
    """Number of past rows that are remembered; 11 in the paper's training, up to 49 in its tests."""
    timed: bool = False
    """Let the reads depend on how long ago a row was, which the paper's do not."""
    blind: bool = False
    """Ablation: withhold from the network what is read from the memory."""
    sampling: Literal["random", "sequential"] = "sequential"
    """Draw windows that begin anywhere, or with an episode."""
    length: run.Count = 50
    """Transitions in a window of the replay."""
    target_period: run.Count = 1
    """Updates between moves of the target network."""
    target_rate: run.Share = 0.01
    """How far the target moves towards the online network each time; 0.001 in the paper."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a memory Q-network (Oh et al., 2016) on a task with discrete actions."""

    env: str = "bellmax/i-maze"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    drqn.check(config, spec, size)
    if config.memory in ("lstm", "gru", "none") and (config.timed or config.blind):
        name = "timed" if config.timed else "blind"
        raise ValueError(f"--agent.{name}: --agent.memory {config.memory} has no reads; mqn, rmqn and frmqn have")


def core(config: Config) -> "nn.Module | None":
    """The core that the flags describe."""
    from networks.mqn import MemoryQ

    if config.memory not in ("mqn", "rmqn", "frmqn"):
        return parts.recurrent.default_core(config)
    return MemoryQ(config.memory, config.memory_size, config.rows, config.timed, config.blind)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    return drqn.make(config, spec, size, core)


experiment = run.Experiment("mqn", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
