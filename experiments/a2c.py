"""A2C: `python -m experiments.a2c --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Body):
    """Flags of the agent."""

    gae_lambda: run.Unit = 0.95
    """λ of the generalised advantage; 1 for the paper's n-step returns."""
    unroll: run.Count = 16
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A2C (Mnih et al., 2016, in its synchronous form) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size, learner: Any = None) -> Any:
    """The parts of one run; with a `learner`, that optimiser takes the place of the flags'.

    Raises:
      ValueError: flags that do not go together.
    """
    from agents.a2c import a2c

    agent = a2c(
        parts.actor_critics.network(config, spec),
        learner or parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, scale)),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("a2c", Flags, run.accept, make, parts.presets_policy.A2C)
main = experiment.main

if __name__ == "__main__":
    main()
