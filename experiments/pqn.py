"""PQN: `python -m experiments.pqn --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 3e-4
    """Step size of the RAdam optimiser."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    q_lambda: run.Unit = 0.95
    """The λ of the returns that are learned."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action at the start."""
    epsilon_end: run.Unit = 0.1
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which the probability of a random action decays, linearly."""
    unroll: run.Count = 64
    """Steps in each environment per rollout."""
    epochs: run.Count = 4
    """Passes of learning over each rollout."""
    minibatches: run.Count = 16
    """Gradient steps per pass, each on a minibatch."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the network's dense layers."""
    layer_norm: bool = True
    """Normalise layers before each of their activations, which PQN does instead of having a target network."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size."""
    dtype: parts.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """Recurrent core of the network, of the size of the last hidden layer."""
    reward_scale: run.Positive = 0.1
    """Factor of the rewards that are learned from."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1], before `reward_scale` multiplies them."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PQN (Gallici et al., 2025) on discrete actions."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_passes(config, size)
    parts.discrete_actions(spec, "pqn")
    parts.check_memory(config.memory, config.hidden)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import optax

    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.pqn import pqn

    rollouts = float(max(1, size.steps // (config.unroll * size.num_envs * size.devices)))
    steps = rollouts * config.epochs * config.minibatches
    rate = parts.linear(config.learning_rate, 0.0, steps) if config.anneal else config.learning_rate
    torso = parts.torso(spec, config.hidden, config.cnn, dtype=config.dtype, layer_norm=config.layer_norm)
    agent = pqn(
        networks.q_network(torso, networks.QValues(spec.action.num), parts.core(config.memory, config.hidden)),
        optimisers.chain(optax.radam(rate), config.max_grad_norm, rate),
        discount=config.discount,
        lambda_=config.q_lambda,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * rollouts),
        epochs=config.epochs,
        minibatches=config.minibatches,
    )
    agent = wrappers.rewards(agent, lambda reward: config.reward_scale * reward)
    agent = parts.clipped(agent, config)
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


PRESETS: run.Presets = {
    name: parts.merge(
        parts.presets.RUN | {"num_envs": 128, "env_options": (f"protocol={protocol}",)},
        learning_rate=2.5e-4,
        anneal=False,
        hidden=(512,),
        q_lambda=0.65,
        epsilon_end=0.001,
        epsilon_fraction=0.1,
        unroll=32,
        epochs=2,
        minibatches=32,
        reward_scale=1.0,
        clip_rewards=True,
    )
    for name, protocol in (("atari", "sticky"), ("atari-classic", "classic"))
} | {
    "atari-cpu": parts.merge(
        parts.presets.CPU | {"num_envs": 32},
        learning_rate=5e-4,
        hidden=(256,),
        q_lambda=0.65,
        epsilon_end=0.01,
        epsilon_fraction=0.1,
        unroll=32,
        epochs=2,
        minibatches=16,
        reward_scale=1.0,
        clip_rewards=True,
    )
}
"""`atari` and `atari-classic` are the paper's under the protocols of `envs.adapters.atari`; layers are normalised after
the convolutions alone. `atari-cpu` is for a few cores and an hour."""

experiment = run.Experiment("pqn", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
