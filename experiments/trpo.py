"""TRPO: `python -m experiments.trpo --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    gae_lambda: run.Unit = 0.98
    """λ of the generalised advantage."""
    radius: run.Positive = 0.01
    """δ, the divergence allowed per step."""
    damping: run.NonNegative = 0.1
    """η, added to the Fisher matrix."""
    iterations: run.Count = 10
    """Steps of conjugate gradients."""
    slack: run.Positive = 1.0
    """The line search accepts a divergence of so many radii."""
    backtracks: run.Count = 10
    """Steps that the line search tries."""
    line_search: bool = True
    """Search along the step; if not, take it as it is."""
    critic_learning_rate: run.Positive = 1e-3
    """Adam's step size for the critic."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that the critic's gradients are clipped to."""
    epochs: run.Count = 10
    """Passes of the critic over each rollout."""
    minibatches: run.Count = 8
    """Gradient steps of the critic per pass."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train TRPO (Schulman et al., 2015) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def check(config: Any, scale: run.Size) -> None:
    """Refuses flags of a trust region and of a critic that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_passes(config, scale)
    for name in ("iterations", "backtracks"):
        if getattr(config, name) < 1:
            raise ValueError(f"--agent.{name} {getattr(config, name)}: must be at least 1")
    if config.shared:
        raise ValueError("--agent.shared: the critic's steps would move the policy out of its trust region")


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    from agents.common import optimisers
    from agents.trpo import Region, trpo

    check(config, scale)
    agent = trpo(
        parts.actor_critics.network(config, spec),
        optimisers.adam(config.critic_learning_rate, config.max_grad_norm),
        discount=config.discount,
        lambda_=config.gae_lambda,
        region=Region(*(getattr(config, name) for name in Region._fields)),
        epochs=config.epochs,
        minibatches=config.minibatches,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("trpo", Flags, run.accept, make, parts.presets_policy.TRPO)
main = experiment.main

if __name__ == "__main__":
    main()
