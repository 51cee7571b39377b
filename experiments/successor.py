"""The successor representation on tables: `python -m experiments.successor --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 0.1
    """Step size α of the successor representation."""
    reward_rate: run.Share = 0.5
    """Step size β of what each state pays."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards, per step."""
    epsilon: run.Unit = 0.1
    """Probability of a random action."""
    policy: Literal["greedy", "random"] = "greedy"
    """Whose representation is learned: that of the greedy policy, or of one that acts uniformly at random."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train a successor representation (Dayan, 1993) on tasks whose observation is a number."""

    env: str = "bellmax/dyna-maze"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 10_000
    """Environment steps per seed."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed; their transitions are learned from one after the other."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks whose states or actions cannot be counted, and several devices.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_tabular(spec, size)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.successor import successor

    agent = successor(
        spec.observation.num,
        spec.action.num,
        learning_rate=config.learning_rate,
        reward_rate=config.reward_rate,
        discount=config.discount,
        epsilon=config.epsilon,
        policy=config.policy,
    )
    return run.Parts(agent, replay.on_policy(1), run.Schedule(1))


experiment = run.Experiment("successor", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
