"""ACKTR: `python -m experiments.acktr --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import actor_critics, flags, ranges, runs


@dataclass(frozen=True)
class Config(actor_critics.Body):
    """Flags of the agent."""

    learning_rate: ranges.Positive = 0.25
    """η, the largest step."""
    anneal: bool = True
    """Let η fall linearly to 0 over the run."""
    radius: ranges.Positive = 0.001
    """δ, the divergence allowed per step."""
    momentum: ranges.Unit = 0.9
    """μ."""
    decay: ranges.Unit = 0.99
    """Of the running averages of the factors."""
    damping: ranges.NonNegative = 0.01
    """λ, added to the Fisher matrix by its factors."""
    curvature: bool = True
    """Use the Fisher matrix; if not, plain gradients under the same bound."""
    gae_lambda: ranges.Unit = 1.0
    """λ of the generalised advantage; 1 for the paper's n-step returns."""
    value_cost: ranges.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: ranges.NonNegative = 0.01
    """Weight of the entropy bonus."""
    unroll: ranges.Count = 20
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train ACKTR (Wu et al., 2017) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: ranges.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: runs.Scale) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    from agents.acktr import acktr

    if config.memory != "none":
        raise ValueError(f"--agent.memory {config.memory}: ACKTR's factors are those of feed-forward layers")
    agent = acktr(
        actor_critics.network(config, spec),
        learning_rate=actor_critics.annealed(
            config.learning_rate, config.anneal, actor_critics.iterations(config, scale)
        ),
        radius=config.radius,
        momentum=config.momentum,
        decay=config.decay,
        damping=config.damping,
        curvature=config.curvature,
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return actor_critics.parts(agent, config)


main = runs.main("acktr", Flags, make)

if __name__ == "__main__":
    main()
