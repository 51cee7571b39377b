"""Dyna-Q, Dyna-Q+ and prioritised sweeping on tables: `python -m experiments.dyna_q --help`."""

from dataclasses import dataclass, field

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    planning: run.Whole = 50
    """Number n of planning steps after each real one; 0 is Q-learning."""
    learning_rate: run.Share = 0.1
    """Step size α of the table's updates."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards, per step."""
    epsilon: run.Unit = 0.1
    """Probability of a random action."""
    softmax: bool = False
    """Act by a softmax of the values while exploring, rather than by a random action now and then."""
    inverse_temperature: run.NonNegative = 10.0
    """Inverse temperature β of the softmax; with 0 all actions are alike."""
    bonus: bool = False
    """Add Dyna-Q+'s bonus κ √τ to modelled rewards of what was not tried for τ steps."""
    kappa: run.NonNegative = 1e-3
    """Weight κ of Dyna-Q+'s bonus κ √τ for what was not tried for τ steps."""
    sweep: bool = False
    """Prioritised sweeping, rather than pairs drawn uniformly."""
    theta: run.NonNegative = 1e-4
    """Least error θ that is worth an update in prioritised sweeping."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train Dyna-Q (Sutton, 1990) and its descendants on tasks whose observation is a number."""

    env: str = "bellmax/dyna-maze"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 5_000
    """Environment steps that each seed trains for."""
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
    from agents.dyna_q import dyna_q

    agent = dyna_q(
        spec.observation.num,
        spec.action.num,
        n=config.planning,
        learning_rate=config.learning_rate,
        discount=config.discount,
        epsilon=config.epsilon,
        beta=config.inverse_temperature if config.softmax else None,
        kappa=config.kappa if config.bonus else None,
        theta=config.theta if config.sweep else None,
    )
    return run.Parts(agent, replay.on_policy(1), run.Schedule(1))


experiment = run.Experiment("dyna_q", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
