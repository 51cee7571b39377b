"""PPO: `python -m experiments.ppo --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Body):
    """Flags of the agent."""

    learning_rate: run.Positive = 2.5e-4
    """Adam's step size."""
    adam_eps: run.Positive = 1e-5
    """Adam's ε."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 0.5
    """Global norm that gradients are clipped to."""
    gae_lambda: run.Unit = 0.95
    """λ of the generalised advantage."""
    clip: run.Limit = 0.2
    """ε of the surrogate; inf for no clipping, with a kl-cost instead."""
    anneal_clip: bool = False
    """Let ε fall linearly to 0 over the run."""
    kl_cost: run.NonNegative | None = None
    """β, the weight of KL(old policy ‖ policy); none by default."""
    kl_target: run.Positive | None = None
    """The divergence per rollout that β is adapted to; by default it stays fixed."""
    value_clip: run.Positive | None = None
    """Bound on how far a value may profit from leaving its old one; none by default."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus."""
    normalise_advantages: bool = True
    """Normalise advantages in each minibatch."""
    epochs: run.Count = 4
    """Passes over each rollout."""
    minibatches: run.Count = 4
    """Gradient steps per pass."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PPO (Schulman et al., 2017) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    from agents.common import optimisers
    from agents.ppo import ppo

    parts.check_passes(config, scale)
    rollouts = parts.actor_critics.iterations(config, scale)
    rate = parts.actor_critics.annealed(
        config.learning_rate, config.anneal, rollouts * config.epochs * config.minibatches
    )
    if config.kl_target is not None and config.kl_cost is None:
        raise ValueError(f"--agent.kl-target {config.kl_target}: needs --agent.kl-cost to begin with")
    clip = parts.linear(config.clip, 0.0, rollouts) if config.anneal_clip else config.clip
    agent = ppo(
        parts.actor_critics.network(config, spec),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        lambda_=config.gae_lambda,
        clip=clip,
        kl_cost=config.kl_cost,
        kl_target=config.kl_target,
        value_clip=config.value_clip,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        epochs=config.epochs,
        minibatches=config.minibatches,
        normalise=config.normalise_advantages,
    )
    return parts.actor_critics.parts(agent, config, spec)


experiment = run.Experiment("ppo", Flags, run.accept, make, parts.presets_policy.PPO)
main = experiment.main

if __name__ == "__main__":
    main()
