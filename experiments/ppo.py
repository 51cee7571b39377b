"""PPO: `python -m experiments.ppo --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import build, flags, presets_control, runs


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: float = 2.5e-4
    """Adam's step size."""
    adam_eps: float = 1e-5
    """Adam's ε."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: float = 0.5
    """Global norm that gradients are clipped to."""
    discount: float = 0.99
    """γ."""
    gae_lambda: float = 0.95
    """λ of the generalised advantage."""
    clip: float = 0.2
    """ε of the surrogate."""
    value_clip: float | None = None
    """Bound on how far a value may profit from leaving its old one; none by default."""
    value_cost: float = 0.5
    """Weight of the value loss."""
    entropy_cost: float = 0.01
    """Weight of the entropy bonus."""
    normalise_advantages: bool = True
    """Normalise advantages in each minibatch."""
    unroll: int = 128
    """Steps in each environment per rollout."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 4
    """Gradient steps per pass."""
    hidden: tuple[int, ...] = (64, 64)
    """Sizes of the dense layers."""
    cnn: Literal["nature", "impala", "small"] = "nature"
    """Torso for image observations."""
    dtype: build.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """Recurrent core, of the size of the last hidden layer."""
    shared: bool = False
    """One torso for policy and value."""
    normalise_observations: bool = False
    """Running mean 0 and variance 1 for observations that are not images."""
    normalise_rewards: bool = False
    """Divide rewards by the standard deviation of the discounted return."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train PPO (Schulman et al., 2017) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: runs.Scale) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    import replay
    from agents import optimisers
    from agents.ppo import ppo
    from experiments.drivers import Parts
    from experiments.loops import Schedule

    build.check_passes(config, scale)
    rollouts = max(1, scale.steps // (config.unroll * scale.num_envs * scale.devices))
    steps = rollouts * config.epochs * config.minibatches
    rate = build.linear(config.learning_rate, 0.0, steps) if config.anneal else config.learning_rate
    agent = ppo(
        build.actor_critic(spec, config.hidden, config.cnn, config.memory, config.shared, config.dtype),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        lambda_=config.gae_lambda,
        clip=config.clip,
        value_clip=config.value_clip,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        epochs=config.epochs,
        minibatches=config.minibatches,
        normalise=config.normalise_advantages,
    )
    agent = build.normalised(agent, config.normalise_observations, config.normalise_rewards, config.discount)
    return Parts(agent, replay.on_policy(config.unroll), Schedule(config.unroll))


main = runs.main("ppo", Flags, make, presets_control.PPO)

if __name__ == "__main__":
    main()
