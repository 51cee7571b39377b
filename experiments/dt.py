"""Decision Transformer: `python -m experiments.dt --help`."""

from dataclasses import dataclass, field
from typing import Any

from experiments import parts, run


@dataclass(frozen=True)
class Config(parts.offline.Best):
    """Flags of the agent."""

    target_return: run.Real | None = None
    """The return that is asked for when acting; by default the greatest of the dataset."""
    return_scale: run.Positive = 1.0
    """What returns are divided by before the network sees them."""
    context: run.Count = 20
    """Rows of an episode that the network sees at once."""
    layers: run.Count = 3
    """Layers of the transformer."""
    heads: run.Count = 1
    """Number of attention heads in each layer of the transformer."""
    width: run.Count = 128
    """Numbers in a token of the transformer."""
    dropout: run.Unit = 0.1
    """Probability with which parts of the network are left out while learning."""
    pre_norm: bool = True
    """Normalise before each part of a layer, as GPT-2; without, after it."""
    times: run.Count = 1000
    """Steps of an episode that are told apart, where the task has no time limit."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size."""
    learning_rate: run.Positive = 1e-4
    """Step size of AdamW for all parameters."""
    weight_decay: run.NonNegative = 1e-4
    """Decoupled decay of the weights."""
    warmup: run.Whole = 10_000
    """Updates over which the step size rises linearly from 0."""
    max_grad_norm: run.Limit = 0.25
    """Global norm that gradients are clipped to."""
    batch_size: run.Count = 64
    """Contexts that an update learns from."""
    normalise_observations: bool = True
    """Bring observations that are not images to mean 0 and variance 1 over the dataset."""


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train a Decision Transformer on recorded episodes (Chen et al., 2021)."""

    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and actions that are neither discrete nor bounded.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    if config.width % config.heads:
        raise ValueError(f"--agent.heads {config.heads}: must divide --agent.width {config.width}")
    if config.dropout == 1:
        raise ValueError(f"--agent.dropout {config.dropout}: must be below 1")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "dt")
    parts.check_images(spec, config.cnn)
    size.per_device(config.batch_size, "agent.batch_size")


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import flax.linen as nn
    import jax
    import optax

    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.dt import dt
    from envs.base import Box

    continuous = isinstance(spec.action, Box)
    head: Any = (
        networks.DeterministicPolicy(*spec.action.shape) if continuous else networks.CategoricalPolicy(spec.action.num)
    )
    module = networks.DecisionTransformer(
        parts.torso(spec, (), config.cnn),
        head,
        0 if continuous else spec.action.num,
        networks.Transformer(config.layers, config.heads, 0, 0, config.pre_norm, nn.relu, config.dropout),
        config.width,
        spec.time_limit or config.times,
        config.dropout,
    )
    rate = parts.linear(0.0, config.learning_rate, config.warmup) if config.warmup else config.learning_rate
    descent = optimisers.chain(optax.adamw(rate, weight_decay=config.weight_decay), config.max_grad_norm, rate)
    seen = spec.observation
    if config.normalise_observations:
        as_seen = lambda space: space if wrappers.passes(space) else Box(space.shape)  # noqa: E731
        seen = jax.tree.map(as_seen, seen, is_leaf=lambda x: hasattr(x, "shape"))
    agent = dt(
        networks.decision(module),
        descent,
        spec._replace(observation=seen),
        context=config.context,
        target=float(size.data.returns[0]) if config.target_return is None else config.target_return,
        scale=config.return_scale,
    )
    agent = wrappers.unit_actions(agent, spec.action) if continuous else agent
    if config.normalise_observations:
        agent = wrappers.normalise_by(agent, spec.observation, size.data.mean, size.data.std)
    batch = size.per_device(config.batch_size, "agent.batch_size")
    memory = replay.contexts(batch, config.context, parts.offline.among(config, size.data))
    return run.Parts(agent, memory, run.Schedule())


PRESETS: run.Presets = {
    "locomotion": parts.merge({"eval_episodes": 100}, return_scale=1000.0),
    "key-to-door": parts.merge(
        {"dataset": "made/key-to-door", "updates": 1_500, "eval_episodes": 100},
        layers=2,
        heads=2,
        width=64,
        learning_rate=1e-3,
        warmup=100,
        normalise_observations=False,
    ),
}
"""`locomotion` is the authors' setting on D4RL's, whose targets are HalfCheetah 12000 or 6000, Hopper 3600 or 1800 and
Walker2d 5000 or 2500; `key-to-door` is that of docs/results/dt.md."""

experiment = run.Experiment("dt", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
