"""What the experiments share that learn from recorded episodes how to reach goals: flags, networks, data."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from experiments import run
from experiments.parts import builders, checks

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    import flax.linen as nn

    from agents.base import Agent
    from envs.base import Space, Spec
    from replay.goals import Rows


Activation = Literal["gelu", "relu", "tanh"]


@dataclass(frozen=True)
class Learning:
    """Flags of an agent that learns from recorded episodes how to reach goals."""

    learning_rate: run.Positive = 3e-4
    """Adam's step size for all networks."""
    discount: run.Unit = 0.99
    """Discount γ per step, of values and of how far ahead their goals lie."""
    hidden: tuple[run.Count, ...] = (512, 512, 512)
    """Sizes of the dense layers of every network."""
    activation: Activation = "gelu"
    """Activation of the dense layers; on a CPU, gelu takes most of the time of small networks."""
    layer_norm: bool = True
    """Normalise the dense layers of values, not those of policies."""
    cnn: checks.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: builders.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    batch_size: run.Count = 1024
    """Transitions that an update learns from."""
    policy_future: run.Unit = 1.0
    """Share of the policy's goals that lie ahead in the episode of their transition; the rest is any state."""
    normalise_observations: bool = False
    """Bring observations that are not images to mean 0 and variance 1 over the dataset."""


POINTMAZE: dict[str, Any] = {
    "env": "bellmax/pointmaze-medium",
    "dataset": "pointmaze-medium-navigate.npz",
    "updates": 100_000,
    "eval_every": 20_000,
    "eval_episodes": 250,
}
"""What presets have in common that learn from walks through OGBench's medium maze, which experiments.collect makes."""
NARROW: dict[str, Any] = {"hidden": (64, 64, 64), "learning_rate": 1e-3, "batch_size": 256}
SMALL: dict[str, Any] = {**NARROW, "activation": "relu"}
"""Flags of agents that a CPU computes a hundred times sooner."""


def check(config: Learning, spec: "Spec", size: run.Size, name: str) -> None:
    """Refuses tasks without goals or bounded actions, batches that cannot be shared out, and images that are too small.

    Raises:
      ValueError: naming the flag.
    """
    if spec.goals is None:
        raise ValueError(f"--env {spec.name}: {name} needs a task with goals, such as bellmax/pointmaze-medium")
    builders.unit_box(spec, name)
    checks.check_images(spec, config.cnn)
    size.per_device(config.batch_size, "agent.batch_size")


def seeing(spec: "Spec", **replaced: "Space | None") -> "Spec":
    """The task as networks see it: `observation` and `desired_goal`, or spaces in their place; None leaves one out."""
    seen = {name: spec.observation[name] for name in ("observation", "desired_goal")} | replaced
    return spec._replace(observation={name: space for name, space in seen.items() if space is not None})


def network(config: Learning, spec: "Spec", head: "nn.Module", values: bool) -> "run.Network":
    """A network of whatever the spec shows, of values with normalised layers."""
    import networks

    return networks.q_network(torso(config, spec, values), head)


def torso(config: Learning, spec: "Spec", values: bool) -> "nn.Module":
    """Its layers."""
    layer_norm = config.layer_norm and values
    return builders.torso(spec, config.hidden, config.cnn, config.activation, layer_norm=layer_norm, dtype=config.dtype)


def policy(config: Learning, spec: "Spec", size: int) -> "run.Network":
    """A policy of so many dimensions, whose standard deviation is 1."""
    import networks

    return network(config, spec, networks.GaussianPolicy(size, fixed=True), values=False)


def parts(agent: "Agent", spec: "Spec", config: Learning, size: run.Size, rows: "Rows") -> run.Parts:
    """The parts of a run of an agent that acts in [-1, 1].

    Args:
      agent: inside of the task's bounds and of normalisation.
      spec: the task.
      config: the flags.
      size: of the run.
      rows: which rows the goals are (`replay.with_goals`).
    """
    import replay
    from agents.common import wrappers

    memory = replay.with_goals(replay.recorded(size.per_device(config.batch_size, "agent.batch_size")), rows)
    agent = wrappers.unit_actions(agent, builders.unit_box(spec, "the agent"))
    if config.normalise_observations:
        # Goals are learned from as what was achieved, so what is desired is measured by the same scale.
        mean, std = ({**each, "desired_goal": each["achieved_goal"]} for each in (size.data.mean, size.data.std))
        agent = wrappers.normalise_by(agent, spec.observation, mean, std)
    return run.Parts(agent, memory, run.Schedule())
