"""A2C: `python -m experiments.a2c --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import build, flags, runs


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: float = 1e-3
    """Step size of the optimiser."""
    optimiser: Literal["adam", "rmsprop"] = "adam"
    """RMSProp is the paper's."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: float = 0.5
    """Global norm that gradients are clipped to."""
    discount: float = 0.99
    """γ."""
    gae_lambda: float = 0.95
    """λ of the generalised advantage; 1 for the paper's n-step returns."""
    value_cost: float = 0.5
    """Weight of the value loss."""
    entropy_cost: float = 0.01
    """Weight of the entropy bonus."""
    unroll: int = 16
    """Steps in each environment per update."""
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
    """Train A2C (Mnih et al., 2016, in its synchronous form) on discrete or continuous actions."""

    env: str = "envpool/CartPole-v1"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: int = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: runs.Scale) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    import replay
    from agents import optimisers
    from agents.a2c import a2c
    from experiments.drivers import Parts
    from experiments.loops import Schedule

    if config.unroll < 1:
        raise ValueError(f"--agent.unroll {config.unroll}: must be at least 1")
    updates = max(1, scale.steps // (config.unroll * scale.num_envs * scale.devices))
    rate = build.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = a2c(
        build.actor_critic(spec, config.hidden, config.cnn, config.memory, config.shared, config.dtype),
        getattr(optimisers, config.optimiser)(rate, config.max_grad_norm, eps=1e-5),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    agent = build.normalised(agent, config.normalise_observations, config.normalise_rewards, config.discount)
    return Parts(agent, replay.on_policy(config.unroll), Schedule(config.unroll))


main = runs.main("a2c", Flags, make)

if __name__ == "__main__":
    main()
