"""Vanilla policy gradient: `python -m experiments.vpg --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    psi: Literal["total", "reward_to_go", "baselined", "q", "advantage", "td", "gae"] = "gae"
    """What weighs the score function in the policy's gradient."""
    learning_rate: run.Positive = 1e-2
    """Adam's step size for the policy."""
    critic_learning_rate: run.Positive = 1e-3
    """Adam's step size for the critic."""
    anneal: bool = True
    """Let the policy's step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    gae_lambda: run.Unit = 0.97
    """The λ of the generalised advantage, where `psi` is gae."""
    value_lambda: run.Unit = 1.0
    """The λ of the critic's targets; 1 for sampled sums of rewards."""
    entropy_cost: run.NonNegative = 0.0
    """Weight of the entropy bonus."""
    epochs: run.Count = 10
    """Passes of the critic over each rollout."""
    minibatches: run.Count = 4
    """Gradient steps of the critic per pass."""
    normalise: bool = True
    """Bring psi to mean 0 and variance 1 in each batch."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train VPG (Williams, 1992; Sutton et al., 2000) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_passes(config, size)
    if config.psi in ("q", "advantage"):
        parts.discrete_actions(spec, f"psi {config.psi}")
    parts.actor_critics.check(config, spec)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import optimisers
    from agents.vpg import vpg

    if config.psi in ("q", "advantage"):
        network = parts.actor_critics.critic_of_actions(config, spec)
    else:
        network = parts.actor_critics.network(config, spec)
    rate = parts.actor_critics.annealed(
        config.learning_rate, config.anneal, parts.actor_critics.iterations(config, size)
    )
    agent = vpg(
        network,
        optimisers.adam(rate, config.max_grad_norm),
        optimisers.adam(config.critic_learning_rate, config.max_grad_norm),
        psi=config.psi,
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_lambda=config.value_lambda,
        entropy_cost=config.entropy_cost,
        epochs=config.epochs,
        minibatches=config.minibatches,
        normalise=config.normalise,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("vpg", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
