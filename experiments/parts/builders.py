"""From flags and a task's spaces to networks."""

from typing import TYPE_CHECKING, Any

from experiments.parts import checks

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    import flax.linen as nn

    import networks
    from agents.bcq import Generator
    from envs.base import Box, Spec
    from experiments.run.plans import Size


Precision = checks.Precision
READ = 32
"""Numbers that the LSTM which reads a text makes of it."""
BOARD = 5
"""Cells a side below which an image is a board that dense layers read whole."""


def discrete_actions(spec: "Spec", agent: str) -> int:
    """The number of actions.

    Raises:
      ValueError: the task has none to count.
    """
    from envs.base import Discrete

    if not isinstance(spec.action, Discrete):
        raise ValueError(f"--env {spec.name}: {agent} needs discrete actions, but the task's are {spec.action}")
    return spec.action.num


def check_tabular(spec: "Spec", size: "Size") -> None:
    """Refuses tasks whose states or actions cannot be counted, and several devices, for agents that learn a table.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Discrete

    discrete_actions(spec, "a table")
    if not isinstance(spec.observation, Discrete):
        raise ValueError(f"--env {spec.name}: a table needs numbers as observations, but they are {spec.observation}")
    if size.devices > 1:
        raise ValueError(f"--devices {size.devices}: a table is learned on one")


def torso(
    spec: "Spec",
    hidden: tuple[int, ...],
    cnn: str,
    activation: str = "relu",
    dtype: Precision = "float32",
    **kwargs: Any,
) -> "nn.Module":
    """A `networks.Torso` for the task's observations; images go through the torso named `cnn`,
    if not "none"; "auto" chooses by their size, and none for boards of fewer than five cells a side. A text is read by
    an LSTM.

    Raises:
      ValueError: sizes of layers that are not positive, or images that are too small for the torso.
    """
    import flax.linen as nn
    import jax.numpy as jnp

    import networks

    checks.check_images(spec, cnn)
    board = cnn == "auto" and (checks.least_side(spec) or BOARD) < BOARD
    cnn = "none" if board else checks.chosen(spec, cnn)
    options = {
        "cnn": None if cnn == "none" else cnn,
        "activation": getattr(nn, activation),
        "dtype": jnp.dtype(dtype),
        **kwargs,
    }
    told = spec.vocabulary
    if told is not None and isinstance(spec.observation, dict) and told.entry in spec.observation:
        return networks.reading(spec.observation, told, "lstm", READ, mlp_sizes=hidden, **options)
    return networks.Torso(spec.observation, hidden, **options)


def core(kind: str, hidden: tuple[int, ...]) -> "nn.Module | None":
    """A recurrent core of the size of the last hidden layer, or None for "none".

    Raises:
      ValueError: there is no hidden layer.
    """
    import networks

    checks.check_memory(kind, hidden)
    if kind == "none":
        return None
    return {"lstm": networks.LSTM, "gru": networks.GRU}[kind](hidden[-1])


def actor_critic(
    spec: "Spec",
    hidden: tuple[int, ...],
    cnn: str,
    memory: str,
    shared: bool,
    dtype: Precision = "float32",
    activation: str = "tanh",
    values: int = 1,
) -> "networks.Network":
    """A network of (distribution, value) for discrete, several discrete, or continuous actions.

    Args:
      spec: the task.
      hidden: sizes of the dense layers.
      cnn: torso for images.
      memory: "none", "lstm" or "gru", of the size of the last hidden layer.
      shared: one torso for policy and value, rather than one each.
      dtype: what the torsos compute in.
      activation: of the dense layers, by its name in `flax.linen`; convolutions have ReLU.
      values: of each state; more than one are `[T, B, values]`.

    Raises:
      ValueError: actions that are no vector, or see `torso`.
    """
    import networks

    features = lambda: torso(spec, hidden, cnn, activation, dtype)  # noqa: E731
    critic = None if shared else features()
    value = networks.Value() if values == 1 else networks.Values(values)
    return networks.actor_critic(features(), policy_head(spec), value, core(memory, hidden), critic)


def policy_head(spec: "Spec", gain: float = 0.01) -> "nn.Module":
    """Features -> distribution, for discrete, several discrete, or continuous actions; orthogonal weights of that gain.

    Raises:
      ValueError: actions that are no vector.
    """
    import networks
    from envs.base import Box, MultiDiscrete
    from networks.initializers import orthogonal

    if isinstance(spec.action, Box):
        if len(spec.action.shape) != 1 or not spec.action.shape[0]:
            raise ValueError(f"--env {spec.name}: actions are {spec.action}; allowed: discrete ones or a vector")
        return networks.GaussianPolicy(*spec.action.shape, kernel_init=orthogonal(gain))
    if isinstance(spec.action, MultiDiscrete):
        return networks.CategoricalsPolicy(spec.action.nums, orthogonal(gain))
    return networks.CategoricalPolicy(discrete_actions(spec, "this agent"), orthogonal(gain))


def policy(spec: "Spec", hidden: tuple[int, ...], activation: str = "tanh", gain: float = 0.01) -> "networks.Network":
    """Observation -> distribution, without memory; images are flattened. `gain` is that of the last layer.

    Raises:
      ValueError: see `policy_head`.
    """
    import networks

    return networks.q_network(torso(spec, hidden, "none", activation), policy_head(spec, gain))


def unit_box(spec: "Spec", agent: str) -> "Box":
    """The task's actions, which an agent that acts in [-1, 1] can be scaled to.

    Raises:
      ValueError: they are no vector within finite bounds.
    """
    import numpy as np

    from envs.base import Box

    box = spec.action
    if (
        not isinstance(box, Box)
        or len(box.shape) != 1
        or not box.shape[0]
        or not all(np.isfinite(b).all() for b in box[1:3])
    ):
        raise ValueError(f"--env {spec.name}: {agent} needs a vector of bounded actions, but the task's are {box}")
    return box


def critic(
    spec: "Spec", hidden: tuple[int, ...], cnn: str, layer_norm: bool = False, dtype: Precision = "float32"
) -> "networks.Network":
    """A network `critics.with_action` of an observation -> Q; arguments as for `torso`."""
    import networks
    from agents.common.critics import with_action
    from envs.base import Box

    seen = spec._replace(observation=with_action(spec.observation, Box(spec.action.shape, -1.0, 1.0)))
    return networks.q_network(torso(seen, hidden, cnn, layer_norm=layer_norm, dtype=dtype), networks.Value())


def critics(spec: "Spec", num: int, hidden: tuple[int, ...], cnn: str, **kwargs: Any) -> "networks.Network":
    """An ensemble of `num` such networks."""
    import networks

    return networks.ensemble(critic(spec, hidden, cnn, **kwargs), num)


def beside(
    spec: "Spec", numbers: int, head: "nn.Module", hidden: tuple[int, ...], cnn: str, dtype: Precision = "float32"
) -> "networks.Network":
    """A network `critics.with_action` of an observation and so many numbers, with a head; arguments as for `torso`."""
    import networks
    from agents.common.critics import with_action
    from envs.base import Box

    seen = spec._replace(observation=with_action(spec.observation, Box((numbers,), -1.0, 1.0)))
    return networks.q_network(torso(seen, hidden, cnn, dtype=dtype), head)


def action_model(spec: "Spec", hidden: tuple[int, ...], cnn: str, dtype: Precision = "float32") -> "Generator":
    """The model of the data's actions, of BCQ and BEAR, with twice as many latents as actions have dimensions."""
    import networks
    from agents.bcq import Generator

    (actions,) = spec.action.shape
    encoder = networks.GaussianPolicy(2 * actions, state_dependent=True)
    return Generator(
        beside(spec, actions, encoder, hidden, cnn, dtype),
        beside(spec, 2 * actions, networks.DeterministicPolicy(actions), hidden, cnn, dtype),
    )
