"""A chain with a small reward at hand and a large one at its end: what is best depends on how far one looks ahead."""

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Discrete, Environment, Key, Spec, episodic


def far_reward(length: int = 8, near: float = 0.05, far: float = 1.0, time_limit: int | None = 100) -> Environment:
    """Action 0 takes `near` and leads back to the first place; action 1 goes on, and from the last place takes `far`.

    Episodes begin at a place drawn uniformly. With a short time limit the end is out of reach of most of them.

    Args:
      length: places, at least 2; so many steps lead from the first place through the last one back to the first.
      near: the reward at hand.
      far: the reward at the end.
      time_limit: steps, or None for no limit.

    Returns:
      Observation int32, the place. Two actions.

    Raises:
      ValueError: for a length below 2, or a time limit below 1.
    """
    if length < 2:
        raise ValueError(f"far_reward: length must be at least 2, got {length}")
    if time_limit is not None and time_limit < 1:
        raise ValueError(f"far_reward: time_limit must be at least 1 or None, got {time_limit}")

    def initial(key: Key) -> Array:
        return jax.random.randint(key, (), 0, length)

    def transition(key: Key, place: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        arrived = (action == 1) & (place == length - 1)
        reward = jnp.where(action == 0, near, jnp.where(arrived, far, 0.0))
        return jnp.where((action == 0) | arrived, 0, place + 1), reward, jnp.bool_(False)

    def render(place: Array) -> Array:
        kinds = jnp.where(jnp.arange(length) == length - 1, 1, 0)
        shown = jnp.where(jnp.arange(length) == place, 2, kinds)
        return drawing.grid(shown[None], (drawing.GREY, drawing.GREEN, drawing.ORANGE), scale=32)

    spec = Spec("far_reward", Discrete(length), Discrete(2), time_limit)
    return episodic(initial, transition, lambda place: place, spec, render)


def threshold(length: int = 8, near: float = 0.05, far: float = 1.0) -> float:
    """The discount above which it is best to go to the end from the first place, without a time limit.

    Going round gives `far` every `length` steps, worth γ^(length - 1) far / (1 - γ^length); staying is worth
    near / (1 - γ).
    """
    low, high = 0.0, 1.0 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        better = (1 - middle) * middle ** (length - 1) * far > near * (1 - middle**length)
        low, high = (low, middle) if better else (middle, high)
    return high
