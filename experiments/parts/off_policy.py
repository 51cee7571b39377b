"""What experiments share that learn values from transitions: flags, and of off-policy ones replay and schedule."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from experiments import run
from experiments.parts import builders, checks

if TYPE_CHECKING:
    from replay.base import Replay


@dataclass(frozen=True)
class Values:
    """Flags of an agent that learns values from transitions, played or recorded."""

    learning_rate: run.Positive = 1e-3
    """Adam's step size for the values."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the network's dense layers."""
    layer_norm: bool = False
    """Normalise dense layers before each of their activations."""
    cnn: checks.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: builders.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    n_step: run.Count = 1
    """Transitions folded into each target."""
    batch_size: run.Count = 128
    """Transitions that a gradient step learns from."""
    target_rate: run.Share = 0.005
    """How far the targets move towards what is learned after each update; 1 is no target network."""
    reward_scale: run.Positive = 1.0
    """Factor of the rewards that are learned from; those reported are the task's."""


@dataclass(frozen=True)
class Learning(Values):
    """The same with a replay of what is played."""

    buffer_size: run.Count = 100_000
    """Transitions that the replay keeps."""
    warmup: run.Whole = 1_000
    """Environment steps of random actions before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 4
    """Updates per learning phase. The update-to-data ratio is this times `delay` / (unroll x environments)."""
    normalise_observations: bool = False
    """Bring observations that are not images to running mean 0 and variance 1."""


def check(config: Learning, size: run.Size) -> None:
    """Refuses a replay that `parts` cannot build.

    Raises:
      ValueError: naming the flag.
    """
    checks.check_replay(config, size, config.n_step + 1)


def scaled(agent: "run.Agent", config: Learning) -> "run.Agent":
    """The agent, which learns from rewards times the flag's factor."""
    from agents.common import wrappers

    return wrappers.rewards(agent, lambda reward: config.reward_scale * reward)


def critics(config: Values, spec: "run.Spec", num: int) -> "run.Network":
    """The ensemble of `num` critics that the flags describe."""
    return builders.critics(spec, num, config.hidden, config.cnn, layer_norm=config.layer_norm, dtype=config.dtype)


def parts(
    agent: "run.Agent",
    spec: "run.Spec",
    config: Learning,
    size: run.Size,
    steps: int = 1,
    memory: "Replay | None" = None,
) -> run.Parts:
    """The parts of a run of an agent that acts in [-1, 1], where the task's actions are a Box.

    Args:
      agent: inside of the task's bounds and of normalisation.
      spec: the task.
      config: the flags.
      size: of the run.
      steps: gradient steps of an update, each on a batch of its own.
      memory: the replay, of windows of `n_step` transitions; by default one that draws uniformly.
    """
    import replay
    from agents.common import wrappers
    from envs.base import Box

    buffer, batch = checks.shares(config, size)
    memory = memory or replay.uniform(buffer, batch * steps, config.n_step)
    memory = memory if config.n_step == 1 else replay.mapped(memory, replay.n_step(config.n_step, config.discount))
    agent = wrappers.unit_actions(agent, spec.action) if isinstance(spec.action, Box) else agent
    agent = scaled(agent, config)
    agent = wrappers.normalise_observations(agent, spec.observation) if config.normalise_observations else agent
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(agent, memory, run.Schedule(config.unroll, config.updates, warmup))
