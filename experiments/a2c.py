"""A2C: `python -m experiments.a2c --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import run
from experiments.parts import actor_critics, presets_policy


@dataclass(frozen=True)
class Config(actor_critics.Descent, actor_critics.Body):
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
        actor_critics.network(config, spec),
        learner or actor_critics.optimiser(config, actor_critics.iterations(config, scale)),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return actor_critics.parts(agent, config)


main = run.main("a2c", Flags, make, presets_policy.A2C)

if __name__ == "__main__":
    main()
