"""UNREAL: `python -m experiments.unreal --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.actor_critics.Descent, parts.actor_critics.Layers):
    """Flags of the agent."""

    gae_lambda: run.Unit = 1.0
    """λ of the generalised advantage; 1 for the paper's n-step returns."""
    pixel_control: run.NonNegative = 0.01
    """Weight of pixel control; 0 switches it off."""
    reward_prediction: run.NonNegative = 1.0
    """Weight of reward prediction; 0 switches it off."""
    value_replay: run.NonNegative = 1.0
    """Weight of value replay; 0 switches it off."""
    pixel_discount: run.Unit = 0.9
    """γ of pixel control."""
    cell: run.Count = 4
    """Pixels in a side of a cell."""
    buffer_size: run.Count = 2_000
    """Steps kept for the tasks."""
    replayed: run.Count = 16
    """Windows of the past per update."""
    unroll: run.Count = 20
    """Steps in each environment per update, and in a window."""
    hidden: tuple[run.Count, ...] = (128,)
    """Sizes of the dense layers."""
    cnn: Literal["nature", "impala", "small", "none"] = "small"
    """Torso; with none images are flattened."""
    activation: Literal["tanh", "relu"] = "relu"
    """Of the dense layers."""
    shared: bool = True
    """One torso for policy, value and the tasks, which is what they are for: it cannot be off."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train UNREAL (Jaderberg et al., 2017) on images and discrete actions."""

    env: str = "bellmax/pixel-catch"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def make(config: Config, spec: Any, scale: run.Size) -> Any:
    """The parts of one run.

    Raises:
      ValueError: flags that do not go together.
    """
    import flax.linen as nn

    import networks
    import replay
    from agents.unreal import unreal
    from envs.base import Box, byte_scale

    parts.check_layers(config, "hidden")
    if not config.shared:
        raise ValueError("--agent.no-shared: UNREAL's tasks shape the layers that policy and value share")
    actions, space = parts.discrete_actions(spec, "UNREAL"), spec.observation
    if not isinstance(space, Box) or len(space.shape) != 3:
        raise ValueError(f"--env {spec.name}: UNREAL needs an image, but the task shows {space}")
    if config.cell < 1 or space.shape[0] % config.cell or space.shape[1] % config.cell:
        raise ValueError(f"--agent.cell {config.cell}: must divide both sides of the image, {space.shape[:2]}")
    if config.replayed < 1:
        raise ValueError(f"--agent.replayed {config.replayed}: must be at least 1")
    size = scale.per_device(config.buffer_size, "agent.buffer_size")
    replayed = scale.per_device(config.replayed, "agent.replayed")
    parts.check_buffer(size, scale.num_envs, config.unroll + 1)
    cells = (space.shape[0] // config.cell, space.shape[1] // config.cell)
    network = networks.unreal(
        parts.torso(spec, (), config.cnn, dtype=config.dtype),
        networks.MLP(config.hidden, getattr(nn, config.activation), dtype=config.dtype),
        networks.CategoricalPolicy(actions),
        networks.Value(),
        networks.PixelValues(cells, actions),
        parts.core(config.memory, config.hidden),
    )
    agent = unreal(
        network,
        parts.actor_critics.optimiser(config, parts.actor_critics.iterations(config, scale)),
        cell=config.cell,
        scale=byte_scale(space),
        replayed=replayed,
        scales={name: getattr(config, name) for name in ("pixel_control", "reward_prediction", "value_replay")},
        discount=config.discount,
        pixel_discount=config.pixel_discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    storage = replay.fresh_and_replayed(replay.on_policy(config.unroll), replay.uniform(size, replayed, config.unroll))
    return run.Parts(parts.clipped(agent, config), storage, run.Schedule(config.unroll, 1, 1))


experiment = run.Experiment("unreal", Flags, run.accept, make)
main = experiment.main

if __name__ == "__main__":
    main()
