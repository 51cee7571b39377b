"""What the experiments of agents with a recurrent Q-network share: flags, refusals, the network and the wrappers."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeVar

from experiments import run
from experiments.parts import builders, checks, learning

if TYPE_CHECKING:
    from collections.abc import Callable

    import flax.linen as nn

    Recurring = TypeVar("Recurring", bound="Learning")


@dataclass(frozen=True)
class Learning:
    """Flags of agents with a recurrent Q-network; the defaults are DRQN's."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    adam_eps: run.Positive = 1e-8
    """The ε that Adam adds to the root of the second moment."""
    anneal: bool = True
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    hidden: tuple[run.Count, ...] = (64,)
    """Sizes of the dense layers before the memory."""
    layer_norm: bool = False
    """Normalise dense layers before each of their activations."""
    cnn: checks.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: builders.Precision = "float32"
    """What the layers before the memory compute in; parameters and losses are float32 in either case."""
    memory: Literal["lstm", "gru", "none"] = "lstm"
    """Recurrent core of the network; none makes the agent feed-forward."""
    memory_size: run.Count = 64
    """Size of the recurrent core."""
    head: tuple[run.Count, ...] = ()
    """Sizes of the dense layers after the memory, in each stream."""
    dueling: bool = False
    """Let the network have separate streams for the state's value and the actions' advantages."""
    recall: bool = False
    """Let the network read the last action and reward."""
    start: Literal["stored", "zero"] = "zero"
    """Memory that a window begins with: zeros, or what the memory was when the window was acted out."""
    batch_size: run.Count = 32
    """Windows of the replay that an update learns from."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    frames: run.Count = 1
    """Frames in an image observation's stack, of which the replay keeps one."""
    warmup: run.Whole = 2_000
    """Environment steps before learning."""
    unroll: run.Count = 10
    """Steps in each environment between learning phases."""
    updates: run.Count = 5
    """Updates that are made in a learning phase."""
    target_period: run.Count = 100
    """Updates between moves of the target network."""
    target_rate: run.Share = 1.0
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: run.Unit = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which the probability of a random action decays, linearly."""
    clip_rewards: bool = False
    """Learn from rewards that are clipped to [-1, 1]."""
    normalise_observations: bool = False
    """Bring observations that are not images to running mean 0 and variance 1."""


def check(config: Learning, spec: "run.Spec", size: run.Size, rows: int) -> None:
    """Refuses tasks without discrete actions or the frames that are stacked, and replays without room for a window.

    Args:
      config: the agent's flags.
      spec: the task.
      size: of the run.
      rows: of a window, with what rebuilding it reads.

    Raises:
      ValueError: naming the flag.
    """
    builders.discrete_actions(spec, "this agent")
    checks.check_replay(config, size, rows)
    checks.check_frames(spec, config.frames)


def default_core(config: Learning) -> "nn.Module | None":
    """The core that `memory` and `memory_size` describe."""
    return builders.core(config.memory, (config.memory_size,))


def recurrent(
    config: "Recurring", spec: "run.Counted", core: "Callable[[Recurring], nn.Module | None]" = default_core
) -> "run.Network":
    """A network of torso, memory and head from flags as above.

    Args:
      config: the agent's flags.
      spec: the task.
      core: from flags to the recurrent core, or None without one.
    """
    import networks
    from agents.common import wrappers

    seen = wrappers.recalled(spec.observation, spec.action) if config.recall else spec.observation
    torso = builders.torso(
        spec._replace(observation=seen), config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype
    )
    return networks.q_network(
        torso, networks.QValues(spec.action.num, hidden=config.head, dueling=config.dueling), core(config)
    )


def wrapped(agent: "run.Agent", config: Learning, spec: "run.Counted", hold: int = 1) -> "run.Agent":
    """The agent behind the wrappers that its flags ask for, with random actions of up to `hold` steps."""
    from agents.common import exploration, recurrence, wrappers

    agent = recurrence.forgetful(agent) if config.start == "zero" else agent
    agent = exploration.extended(agent, spec.action.num, hold) if hold > 1 else agent
    agent = learning.clipped(agent, config)
    agent = wrappers.recall(agent, spec.action) if config.recall else agent
    return learning.normalised(agent, spec, config.normalise_observations, False, config.discount)
