"""UNREAL: `python -m experiments.unreal --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Layers):
    """Flags of the agent."""

    gae_lambda: run.Unit = 1.0
    """The λ of the generalised advantage; 1 for the paper's n-step returns."""
    pixel_control: run.NonNegative = 0.01
    """Weight of pixel control; 0 switches it off."""
    reward_prediction: run.NonNegative = 1.0
    """Weight of reward prediction; 0 switches it off."""
    value_replay: run.NonNegative = 1.0
    """Weight of value replay; 0 switches it off."""
    pixel_discount: run.Unit = 0.9
    """Discount γ of pixel control."""
    cell: run.Count = 4
    """Pixels in a side of a cell."""
    buffer_size: run.Count = 2_000
    """Steps that are kept for the auxiliary tasks."""
    replayed: run.Count = 16
    """Windows of the past that are learned from per update."""
    unroll: run.Count = 20
    """Steps in each environment per update, and in a window."""
    hidden: tuple[run.Count, ...] = (128,)
    """Sizes of the network's dense layers."""
    cnn: parts.OptionalConvolutions = "small"
    """Convolutions for image observations, `auto` by their size; with none images are flattened."""
    activation: Literal["tanh", "relu"] = "relu"
    """Activation of the dense layers."""
    shared: bool = True
    """Share one torso between policy, value and the auxiliary tasks, which serve to shape it: it cannot be off."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train UNREAL (Jaderberg et al., 2017) on images and discrete actions."""

    env: str = "bellmax/pixel-catch"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and tasks without an image or discrete actions.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    parts.check_layers(config, "hidden")
    if not config.shared:
        raise ValueError("--agent.no-shared: UNREAL's tasks shape the layers that policy and value share")
    parts.discrete_actions(spec, "UNREAL")
    space = spec.observation
    if not isinstance(space, Box) or len(space.shape) != 3:
        raise ValueError(f"--env {spec.name}: UNREAL needs an image, but the task shows {space}")
    if space.shape[0] % config.cell or space.shape[1] % config.cell:
        raise ValueError(f"--agent.cell {config.cell}: must divide both sides of the image, {space.shape[:2]}")
    parts.actor_critics.check_replayed(config, size)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import flax.linen as nn

    import networks
    from agents.unreal import unreal
    from envs.base import byte_scale

    actions, (height, width, _) = spec.action.num, spec.observation.shape
    storage, replayed = parts.actor_critics.replayed(config, size)
    network = networks.unreal(
        parts.torso(spec, (), config.cnn, dtype=config.dtype),
        networks.MLP(config.hidden, getattr(nn, config.activation), dtype=config.dtype),
        networks.CategoricalPolicy(actions),
        networks.Value(),
        networks.PixelValues((height // config.cell, width // config.cell), actions),
        parts.core(config.memory, config.hidden),
    )
    agent = unreal(
        network,
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, size)),
        cell=config.cell,
        scale=byte_scale(spec.observation),
        replayed=replayed,
        scales={name: getattr(config, name) for name in ("pixel_control", "reward_prediction", "value_replay")},
        discount=config.discount,
        pixel_discount=config.pixel_discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    return run.Parts(parts.clipped(agent, config), storage, run.Schedule(config.unroll, 1, 1))


experiment = run.Experiment("unreal", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
