"""R2D2: `python -m experiments.r2d2 --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import build, flags, presets, ranges, runs


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: ranges.Positive = 1e-3
    """Adam's step size."""
    adam_eps: ranges.Positive = 1e-3
    """Adam's ε."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: ranges.Limit = 40.0
    """Global norm that gradients are clipped to."""
    discount: ranges.Unit = 0.99
    """γ; 0.997 in the paper."""
    hidden: tuple[ranges.Count, ...] = (64,)
    """Sizes of the dense layers before the memory."""
    layer_norm: bool = False
    """Layer normalisation before each of their activations."""
    cnn: Literal["nature", "impala", "small"] = "nature"
    """Convolutions for image observations; `hidden` follows them."""
    dtype: build.Precision = "float32"
    """What the layers before the memory compute in; parameters and losses are float32 in either case."""
    memory: Literal["lstm", "gru", "none"] = "lstm"
    """Recurrent core; none makes the agent feed-forward."""
    memory_size: ranges.Count = 64
    """Its size."""
    head: tuple[ranges.Count, ...] = (64,)
    """Sizes of the dense layers after it, in each stream."""
    dueling: bool = True
    """Separate streams for the state's value and the actions' advantages."""
    recall: bool = True
    """Let the network read the last action and reward."""
    burn_in: ranges.Whole = 10
    """Transitions at the start of a window that only bring the memory up to date; 40 in the paper."""
    length: ranges.Count = 20
    """Transitions after them, which are learned from; 80 in the paper."""
    stride: ranges.Count = 10
    """Rows between the starts of windows; half of `length` in the paper."""
    start: Literal["stored", "zero"] = "stored"
    """Memory that a window begins with: what it was when the window was acted out, or zeros."""
    n_step: ranges.Count = 5
    """Rewards summed in each target."""
    rescale: bool = True
    """Learn values under h."""
    batch_size: ranges.Count = 32
    """Windows per update."""
    buffer_size: ranges.Count = 100_000
    """Environment steps kept."""
    alpha: ranges.NonNegative = 0.9
    """Exponent of the priorities."""
    beta: ranges.Unit = 0.6
    """Exponent of the importance weights."""
    eta: ranges.Unit = 0.9
    """Weight of the largest error of a window in its priority, against the mean one."""
    frames: ranges.Count = 1
    """Frames in an image observation's stack, of which the replay keeps one."""
    warmup: ranges.Whole = 2_000
    """Environment steps before learning."""
    unroll: ranges.Count = 10
    """Steps in each environment between learning phases."""
    updates: ranges.Count = 5
    """Updates per learning phase."""
    target_period: ranges.Count = 100
    """Updates between moves of the target network; 2500 in the paper."""
    target_rate: ranges.Share = 1.0
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: ranges.Unit = 1.0
    """ε when learning begins: environment i of N explores with probability ε^(1 + ladder · i / (N - 1))."""
    epsilon_end: ranges.Unit = 0.4
    """The same once it has decayed."""
    epsilon_fraction: ranges.Unit = 0.1
    """Part of all steps over which it decays, linearly."""
    ladder: ranges.NonNegative = 7.0
    """How much less the last environment explores than the first; 0 for all alike."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1]."""
    normalise_observations: bool = False
    """Running mean 0 and variance 1 for observations that are not images."""


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train R2D2 (Kapturowski et al., 2019) on a task with discrete actions."""

    env: str = "bellmax/memory-chain"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: ranges.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def default_core(config: Any) -> Any:
    """The core that `memory` and `memory_size` describe."""
    return build.core(config.memory, (config.memory_size,))


def recurrent(config: Any, spec: Any, core: Any = default_core) -> Any:
    """A network of torso, memory and head from flags as above.

    Args:
      config: the agent's flags.
      spec: the task.
      core: from flags to the recurrent core, or None without one.

    Raises:
      ValueError: naming the flag.
    """
    import networks
    from agents import wrappers

    for name in ("head", "memory_size"):
        sizes = getattr(config, name)
        if any(size < 1 for size in (sizes if isinstance(sizes, tuple) else (sizes,))):
            raise ValueError(f"{flags.flag(f'agent.{name}')} {sizes}: sizes must be positive")
    actions = build.discrete_actions(spec, "this agent")
    seen = wrappers.recalled(spec.observation, spec.action) if config.recall else spec.observation
    torso = build.torso(
        spec._replace(observation=seen), config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype
    )
    return networks.q_network(
        torso, networks.QValues(actions, hidden=config.head, dueling=config.dueling),
        core(config),
    )  # fmt: skip


def wrapped(agent: Any, config: Any, spec: Any, hold: int = 1) -> Any:
    """The agent behind the wrappers that its flags ask for, with random actions of up to `hold` steps."""
    from agents import exploration, memory, wrappers

    agent = memory.forgetful(agent) if config.start == "zero" else agent
    agent = exploration.extended(agent, spec.action.num, hold) if hold > 1 else agent
    agent = build.clipped(agent, config)
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return build.normalised(agent, config.normalise_observations, False, config.discount)


def check_counts(config: Any, *names: str) -> None:
    """Refuses counts below 1.

    Raises:
      ValueError: naming the flag.
    """
    for name in names:
        if getattr(config, name) < 1:
            raise ValueError(f"{flags.flag(f'agent.{name}')} {getattr(config, name)}: must be at least 1")


def make(config: Config, spec: Any, scale: runs.Scale) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together, or continuous actions.
    """
    import replay
    from agents import losses, optimisers
    from agents.r2d2 import r2d2
    from experiments.drivers import Parts
    from experiments.loops import Schedule

    counts = ("length", "stride", "n_step", "batch_size", "buffer_size", "frames", "unroll", "updates", "target_period")
    check_counts(config, *counts)
    if config.burn_in < 0:
        raise ValueError(f"--agent.burn-in {config.burn_in}: must not be negative")
    per_iteration = config.unroll * scale.num_envs * scale.devices
    updates = scale.steps / per_iteration * config.updates
    rate = build.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = r2d2(
        recurrent(config, spec),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        discount=config.discount,
        n_step=config.n_step,
        burn_in=config.burn_in,
        eta=config.eta,
        epsilon=build.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        ladder=config.ladder,
        target_period=config.target_period,
        target_rate=config.target_rate,
        tx_pair=losses.SIGNED_HYPERBOLIC_PAIR if config.rescale else losses.IDENTITY_PAIR,
    )
    buffer = scale.per_device(config.buffer_size, "agent.buffer_size")
    batch = scale.per_device(config.batch_size, "agent.batch_size")
    window = config.burn_in + config.length
    rows = window + config.frames + config.stride - 1
    build.check_buffer(buffer, scale.num_envs, -(-rows // config.stride) * config.stride)
    storage = replay.prioritised(
        buffer, batch, window, config.frames, alpha=config.alpha, beta=config.beta, stride=config.stride
    )
    schedule = Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return Parts(wrapped(agent, config, spec), storage, schedule)


main = runs.main("r2d2", Flags, make, presets.R2D2)

if __name__ == "__main__":
    main()
