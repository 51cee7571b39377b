"""IRIS: `python -m experiments.iris --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import parts, run


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimisers; 1e-4 in the paper."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that the gradient of each network is clipped to."""
    tokens: Literal["cells", "codes"] = "cells"
    """What tokens are: the cells of a patch of a board of zeros and ones, or the code that an autoencoder gives it."""
    patch: tuple[run.Count, run.Count] = (1, 1)
    """Rows and columns of an image that one token stands for."""
    kinds: run.Count = 64
    """Codes that the autoencoder tells apart; 512 in the paper."""
    code: run.Count = 16
    """Numbers of a code; 512 in the paper."""
    width: run.Count = 64
    """Width of the transformer's tokens; 256 in the paper."""
    layers: run.Count = 2
    """Layers of the transformer; 10 in the paper."""
    heads: run.Count = 2
    """Heads of the transformer's attention; 4 in the paper."""
    actions: bool = True
    """Tell the transformer which action was taken; without it, an ablation, it does not know."""
    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of policy and value, and of the autoencoder."""
    cnn: parts.OptionalConvolutions = "none"
    """Convolutions of policy and value for image observations; with none, images are flattened."""
    length: run.Count = 5
    """Transitions of the windows that the transformer learns from; 20 in the paper."""
    horizon: run.Count = 5
    """Steps H of what is imagined; 20 in the paper."""
    starts: run.Count = 32
    """Trajectories that are imagined in an update."""
    model_warmup: run.Whole = 200
    """Updates of the transformer before policy and value learn from what it imagines."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step; 0.995 in the paper."""
    gae_lambda: run.Unit = 0.95
    """The λ of the returns that policy and value learn from."""
    value_cost: run.NonNegative = 0.5
    """Weight of the value loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy bonus; 0.001 in the paper."""
    batch_size: run.Count = 16
    """Windows of the replay that an update learns from; 64 in the paper."""
    buffer_size: run.Count = 100_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 400
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 16
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train IRIS (Micheli et al., 2023): policy and value learn in what a transformer imagines."""

    env: str = "bellmax/catch"
    """Task with images and discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 4
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without images or discrete actions, patches that do not fit, and replays without room.

    Raises:
      ValueError: naming the flag.
    """
    import math

    import numpy as np

    from envs.base import Box

    parts.discrete_actions(spec, "iris")
    shape: Any = getattr(spec.observation, "shape", ())
    if not isinstance(spec.observation, Box) or len(shape) not in (2, 3):
        raise ValueError(f"--env {spec.name}: iris needs images as observations, but they are {spec.observation}")
    patch = " ".join(map(str, config.patch))
    if any(side % part for side, part in zip(shape, config.patch, strict=False)):
        raise ValueError(f"--agent.patch {patch}: must divide the sides of the images, {shape[0]} and {shape[1]}")
    if config.tokens == "cells":
        bits = math.prod(config.patch) * (shape[2] if len(shape) == 3 else 1)
        if not ((np.asarray(spec.observation.low) == 0) & (np.asarray(spec.observation.high) == 1)).all():
            raise ValueError(f"--agent.tokens cells: needs images of zeros and ones, not {spec.name}; allowed: codes")
        if bits > 12:
            raise ValueError(
                f"--agent.patch {patch}: has {bits} bits, of which 12 are allowed, or --agent.tokens codes"
            )
    if config.width % config.heads:
        raise ValueError(f"--agent.width {config.width}: must be a multiple of --agent.heads {config.heads}")
    if config.tokens == "codes":
        parts.check_layers(config, "hidden")
    parts.check_replay(config, size, config.length + 1)


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers
    from agents.iris import iris
    from envs.base import Box, byte_scale

    shape = spec.observation.shape
    if config.tokens == "cells":
        tokeniser = networks.cells(shape, config.patch)
    else:
        scale: Any = byte_scale(spec.observation)
        tokeniser = networks.autoencoder(shape, config.patch, config.kinds, config.code, config.hidden[:1], scale)
    module = networks.TokenModel(
        tokeniser.number, tokeniser.kinds, spec.action.num, max(config.length, config.horizon) + 1, config.width,
        config.layers, config.heads, config.actions,
    )  # fmt: skip
    seen = spec._replace(observation=Box(shape, 0.0, 1.0))
    network = parts.actor_critic(seen, config.hidden, config.cnn, "none", True, activation="relu")
    names = ["policy", "model"] + ["tokeniser"] * (config.tokens == "codes")
    chains = {name: optimisers.adam(config.learning_rate, config.max_grad_norm) for name in names}
    agent = iris(
        tokeniser,
        module,
        network,
        optimisers.apart(**chains),
        horizon=config.horizon,
        starts=config.starts,
        warmup=config.model_warmup,
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
    )
    buffer, batch = parts.shares(config, size)
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(
        agent, replay.uniform(buffer, batch, config.length), run.Schedule(config.unroll, config.updates, warmup)
    )


experiment = run.Experiment("iris", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
