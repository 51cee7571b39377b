"""The environment model of I2A: a predictor of the next frame, pixel by pixel, and of the reward.

Racanière et al., "Imagination-augmented agents for deep reinforcement learning" (2017), section 3.1 and appendix B:

    L = -Σ_hw ln p(x_t[h, w] | x_{t-1}, a_{t-1}) - c ln p(r_t | x_{t-1}, a_{t-1})

with a categorical distribution of each pixel's kind. Rewards of a step may add up to many values, so theirs is a
distribution on atoms of symlog(r), two-hot (Hafner et al., 2023), in place of classes.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Array, Key, Step, TimeStep, valid
from agents.world.models import Imagined, Learner, Model
from envs import parallel

ATOMS = np.linspace(-3.5, 3.5, 71, dtype=np.float32)
"""Of symlog(r), for rewards within ±32."""


class Coder(NamedTuple):
    """Frames as observations and as kinds of pixels."""

    kinds: int
    encode: Callable[[Array], Array]
    """`(observation [..., H, W, C]) -> int32 [..., H, W]`."""
    decode: Callable[[Array], Array]
    """The inverse."""


def one_hot(kinds: int) -> Coder:
    """For observations whose channels are the kinds."""
    return Coder(kinds, lambda x: jnp.argmax(x, -1).astype(jnp.int32), lambda kind: jax.nn.one_hot(kind, kinds))


def palette(colours: np.ndarray) -> Coder:
    """For images of few colours, uint8 [K, 3]; another colour counts as the first."""

    def encode(image: Array) -> Array:
        same = image[..., None, :] == colours.reshape((1,) * (image.ndim - 1) + colours.shape)
        return jnp.argmax(jnp.all(same, -1), -1).astype(jnp.int32)

    return Coder(len(colours), encode, lambda kind: jnp.asarray(colours)[kind])


class State(NamedTuple):
    """What is learned."""

    params: Any
    optimiser: Any


def frame_model(
    module: nn.Module, coder: Coder, optimiser: optax.GradientTransformation, reward_cost: float | Array = 0.1
) -> Learner:
    """The frame model as a `Learner`; each pixel it imagines is its likeliest kind. It imagines no end.

    Args:
      module: a `networks.FramePredictor`, `(int [N, H, W], int [N]) -> (logits [N, H, W, K], logits [N, atoms])`.
      coder: of the task's observations.
      optimiser: an `agents.common.optimisers` chain.
      reward_cost: c.
    """

    def predicted(params: Any, frame: Array, action: Array) -> tuple[Array, Array]:
        pixels, reward = module.apply({"params": params}, frame, action)
        return jnp.asarray(pixels), jnp.asarray(reward)

    def init(key: Key, timestep: TimeStep) -> State:
        frame = coder.encode(timestep.observation)
        params = module.init(key, frame, jnp.zeros(frame.shape[0], jnp.int32))["params"]
        return State(params, optimiser.init(params))

    def step(params: Any, key: Key, state: Array, action: Array) -> tuple[Array, Imagined]:
        del key
        pixels, reward = predicted(params, state, action)
        frame = jnp.argmax(pixels, -1).astype(jnp.int32)
        paid = jax.nn.softmax(reward) @ losses.symexp(jnp.asarray(ATOMS))
        return frame, Imagined(coder.decode(frame), paid, jnp.ones(frame.shape[0]))

    def loss(params: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        frame, mask = coder.encode(steps.timestep.observation), valid(steps)
        flat = lambda x: x.reshape((-1, *x.shape[2:]))  # noqa: E731
        pixels, reward = predicted(params, flat(frame[:-1]), flat(steps.action[:-1]))
        after, mask = flat(frame[1:]), flat(mask)
        paid = flat(steps.timestep.reward[1:])
        right = jnp.argmax(pixels, -1) == after
        atoms = losses.symexp(jnp.asarray(ATOMS))
        terms = {
            "pixel_loss": losses.pixel_cross_entropy(pixels, after),
            "reward_loss": losses.two_hot_cross_entropy(reward, paid, atoms),
            "pixels_right": jnp.mean(right, (-2, -1)),
            "frames_right": jnp.all(right, (-2, -1)).astype(jnp.float32),
            "reward_error": jnp.abs(jax.nn.softmax(reward) @ atoms - paid),
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        total = means["pixel_loss"] + reward_cost * means["reward_loss"]
        return total, {"loss": total, **means}

    def update(state: State, key: Key, steps: Step) -> tuple[State, dict[str, Array]]:
        del key
        return descend(optimiser, loss, state, steps, part="model_")

    return Learner(Model(coder.encode, step), init, lambda state: state.params, update)


def measured(learner: Learner) -> Callable[[Any, Step], dict[str, Array]]:
    """`(params, steps[T+1, N]) -> metrics`: how much of the next frames a model has right, without learning."""

    def measure(model: Model, params: Any, steps: Step) -> dict[str, Array]:
        mask = valid(steps).reshape(-1)
        flat = lambda x: x.reshape((-1, *x.shape[2:]))  # noqa: E731
        before, after = (flat(x) for x in (steps.timestep.observation[:-1], steps.timestep.observation[1:]))
        _, imagined = model.step(params, jax.random.key(0), model.start(before), flat(steps.action[:-1]))
        right = jnp.all(imagined.observation == after, -1)
        paid = jnp.abs(imagined.reward - flat(steps.timestep.reward[1:]))
        return {
            "pixels_right": parallel.masked_mean(jnp.mean(right, (-2, -1)), mask),
            "frames_right": parallel.masked_mean(jnp.all(right, (-2, -1)).astype(jnp.float32), mask),
            "rewards_right": parallel.masked_mean((paid < 0.05).astype(jnp.float32), mask),
        }

    return partial(measure, learner.model)
