"""IMPALA: `python -m experiments.impala --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Body):
    """Flags of the agent."""

    lag: run.Whole = 0
    """Updates that the acting parameters are behind."""
    correct: bool = True
    """V-trace; if not, actions count as if the policy had taken them, as in A3C."""
    vtrace_lambda: run.Unit = 1.0
    """λ of V-trace."""
    clip_rho: run.Limit = 1.0
    """Bound on the importance ratios of the value targets."""
    clip_pg_rho: run.Limit = 1.0
    """Bound on the importance ratios of the policy gradient."""
    unroll: run.Count = 20
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train IMPALA (Espeholt et al., 2018) with a fixed lag of its actors, on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    from agents.impala import impala

    if config.lag < 0:
        raise ValueError(f"--agent.lag {config.lag}: must not be negative")
    agent = impala(
        parts.actor_critics.network(config, spec),
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, scale)),
        lag=config.lag,
        discount=config.discount,
        lambda_=config.vtrace_lambda,
        clip_rho=config.clip_rho,
        clip_pg_rho=config.clip_pg_rho,
        correct=config.correct,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("impala", Flags, run.accept, make, parts.presets_policy.IMPALA)
main = experiment.main

if __name__ == "__main__":
    main()
