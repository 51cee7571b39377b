"""PQN: `python -m experiments.pqn --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 3e-4
    """RAdam's step size."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """γ."""
    q_lambda: run.Unit = 0.95
    """λ of the targets."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action at the start."""
    epsilon_end: run.Unit = 0.1
    """The same once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which it decays, linearly."""
    unroll: run.Count = 64
    """Steps in each environment per rollout."""
    epochs: run.Count = 4
    """Passes over each rollout."""
    minibatches: run.Count = 16
    """Gradient steps per pass."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the dense layers."""
    layer_norm: bool = True
    """Layer normalisation before each of their activations, which PQN has instead of a target network."""
    cnn: Literal["nature", "impala", "small"] = "nature"
    """Torso for image observations."""
    dtype: parts.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """Recurrent core, of the size of the last hidden layer."""
    reward_scale: run.Positive = 0.1
    """Factor on the rewards that are learned from."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1], before that factor."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PQN (Gallici et al., 2025) on discrete actions."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or continuous actions.
    """
    import optax

    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.pqn import pqn

    parts.check_passes(config, scale)
    rollouts = float(max(1, scale.steps // (config.unroll * scale.num_envs * scale.devices)))
    steps = rollouts * config.epochs * config.minibatches
    rate = parts.linear(config.learning_rate, 0.0, steps) if config.anneal else config.learning_rate
    head = networks.QValues(parts.discrete_actions(spec, "pqn"))
    torso = parts.torso(spec, config.hidden, config.cnn, dtype=config.dtype, layer_norm=config.layer_norm)
    agent = pqn(
        networks.q_network(torso, head, parts.core(config.memory, config.hidden)),
        optimisers.chain(optax.radam(rate), config.max_grad_norm),
        discount=config.discount,
        lambda_=config.q_lambda,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * rollouts),
        epochs=config.epochs,
        minibatches=config.minibatches,
    )
    agent = wrappers.rewards(agent, lambda reward: config.reward_scale * reward)
    agent = parts.clipped(agent, config)
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


experiment = run.Experiment("pqn", Flags, run.accept, make, parts.presets.PQN)
main = experiment.main

if __name__ == "__main__":
    main()
