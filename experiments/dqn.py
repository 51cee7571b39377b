"""DQN and double DQN: `python -m experiments.dqn --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import build, flags, runs


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: float = 5e-4
    """Adam's step size."""
    adam_eps: float = 1e-8
    """Adam's ε."""
    max_grad_norm: float = 10.0
    """Global norm that gradients are clipped to."""
    discount: float = 0.99
    """γ."""
    hidden: tuple[int, ...] = (128, 128)
    """Sizes of the dense layers."""
    layer_norm: bool = True
    """Layer normalisation before each of their activations."""
    cnn: Literal["nature", "impala", "small"] = "nature"
    """Torso for image observations."""
    double: bool = True
    """Select the target's action with the online network."""
    n_step: int = 3
    """Transitions folded into each target."""
    error_clip: float | None = None
    """δ of Huber's loss, 1 for rewards of ±1 as in Atari; none for the squared loss, which large returns need."""
    batch_size: int = 128
    """Transitions per update."""
    buffer_size: int = 100_000
    """Transitions kept."""
    frames: int = 1
    """Frames in an image observation's stack, of which the replay keeps one."""
    warmup: int = 1_000
    """Environment steps of random play before learning."""
    unroll: int = 1
    """Steps in each environment between learning phases."""
    updates: int = 4
    """Updates per learning phase."""
    target_period: int = 1
    """Updates between moves of the target network."""
    target_rate: float = 0.01
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: float = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: float = 0.02
    """The same once it has decayed."""
    epsilon_fraction: float = 0.2
    """Part of all steps over which it decays, linearly."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1]."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train DQN (Mnih et al., 2015), double by default (van Hasselt et al., 2016)."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: int = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: runs.Scale) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or continuous actions.
    """
    import networks
    import replay
    from agents import optimisers, wrappers
    from agents.dqn import dqn
    from experiments.drivers import Parts
    from experiments.loops import Schedule

    for name in ("batch_size", "buffer_size", "n_step", "frames", "unroll", "updates", "target_period"):
        if getattr(config, name) < 1:
            raise ValueError(f"--agent.{name.replace('_', '-')} {getattr(config, name)}: must be at least 1")
    if config.batch_size > config.buffer_size:
        raise ValueError(
            f"--agent.batch-size {config.batch_size}: larger than --agent.buffer-size {config.buffer_size}"
        )
    head = networks.QValues(build.discrete_actions(spec, "dqn"))
    network = networks.q_network(build.torso(spec, config.hidden, config.cnn, layer_norm=config.layer_norm), head)
    per_iteration = config.unroll * scale.num_envs * scale.devices
    decay = config.epsilon_fraction * scale.steps / per_iteration * config.updates
    agent = dqn(
        network,
        optimisers.adam(config.learning_rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        epsilon=build.linear(config.epsilon_start, config.epsilon_end, decay),
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=config.double,
        error_clip=config.error_clip,
    )
    if config.clip_rewards:
        agent = wrappers.clip_rewards(agent)
    buffer = scale.per_device(config.buffer_size, "agent.buffer_size")
    batch = scale.per_device(config.batch_size, "agent.batch_size")
    build.check_buffer(buffer, scale.num_envs, config.n_step + config.frames)
    memory = replay.uniform(buffer, batch, config.n_step, config.frames)
    if config.n_step > 1:
        memory = replay.mapped(memory, replay.n_step(config.n_step, config.discount))
    return Parts(agent, memory, Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration)))


main = runs.main("dqn", Flags, make)

if __name__ == "__main__":
    main()
