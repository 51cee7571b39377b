"""DRQN: `python -m experiments.drqn --help`. The agent is `agents.dqn` with a recurrent network and longer windows."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run
from experiments.parts.recurrent import default_core, recurrent, wrapped


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Adam's step size."""
    adam_eps: run.Positive = 1e-8
    """Adam's ε."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """γ."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers before the memory."""
    layer_norm: bool = False
    """Layer normalisation before each of their activations."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: parts.Precision = "float32"
    """What the layers before the memory compute in; parameters and losses are float32 in either case."""
    memory: Literal["lstm", "gru", "none"] = "lstm"
    """Recurrent core; none makes the agent feed-forward."""
    memory_size: run.Count = 64
    """Its size."""
    head: tuple[run.Count, ...] = ()
    """Sizes of the dense layers after it, in each stream."""
    dueling: bool = False
    """Separate streams for the state's value and the actions' advantages."""
    recall: bool = False
    """Let the network read the last action and reward."""
    sampling: Literal["random", "sequential"] = "random"
    """Windows that begin anywhere, or with an episode."""
    alpha: run.NonNegative = 0.0
    """Exponent of the priorities by which sequential windows are drawn; 0 draws them uniformly."""
    beta: run.Unit = 0.4
    """Exponent of the importance weights that go with it."""
    length: run.Count = 10
    """Transitions in a window."""
    start: Literal["stored", "zero"] = "zero"
    """Memory that a window begins with: zeros, or what it was when the window was acted out."""
    double: bool = False
    """Select the target's action with the online network."""
    error_clip: run.Positive | None = None
    """δ of Huber's loss, 1 for rewards of ±1 as in Atari; none for the squared loss, which large returns need."""
    batch_size: run.Count = 32
    """Windows per update."""
    buffer_size: run.Count = 100_000
    """Environment steps kept."""
    frames: run.Count = 1
    """Frames in an image observation's stack, of which the replay keeps one."""
    warmup: run.Whole = 2_000
    """Environment steps of random play before learning."""
    unroll: run.Count = 10
    """Steps in each environment between learning phases."""
    updates: run.Count = 5
    """Updates per learning phase."""
    target_period: run.Count = 100
    """Updates between moves of the target network."""
    target_rate: run.Share = 1.0
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: run.Unit = 0.05
    """The same once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which it decays, linearly."""
    hold: run.Count = 1
    """Most steps that a random action is held for, drawn with P(n) ∝ 1/n² (εz-greedy); 1 for ε-greedy."""
    clip_rewards: bool = False
    """Learn from rewards clipped to [-1, 1]."""
    normalise_observations: bool = False
    """Running mean 0 and variance 1 for observations that are not images."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DRQN (Hausknecht and Stone, 2015) on a task with discrete actions."""

    env: str = "bellmax/flickering-catch"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: Any, size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    parts.recurrent.check(config, spec, size, config.length + config.frames)
    if config.alpha > 0 and config.sampling == "random":
        raise ValueError(f"--agent.alpha {config.alpha}: must be 0, or positive with --agent.sampling sequential")


def make(config: Config, spec: Any, size: run.Size, core: Any = default_core) -> Any:
    """The parts of one run, of flags that `check` accepts.

    Args:
      config: the agent's flags.
      spec: the task.
      size: of the run.
      core: from flags to the recurrent core, or None without one.
    """
    import replay
    from agents.common import objectives, optimisers
    from agents.dqn import dqn

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = dqn(
        recurrent(config, spec, core),
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        objective=objectives.expected(config.error_clip),
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=config.double,
    )
    buffer, batch = parts.shares(config, size)
    if config.sampling == "random":
        storage = replay.uniform(buffer, batch, config.length, config.frames)
    else:
        sizes = (buffer, batch, config.length, config.frames)
        storage = replay.prioritised(*sizes, alpha=config.alpha, beta=config.beta, episodes=True)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(wrapped(agent, config, spec, config.hold), storage, schedule)


experiment = run.Experiment("drqn", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
