"""How far a body gets by chance: by random modulations of a low level that has practised, and by random actions."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.common import optimisers
from agents.ppo import ppo
from agents.spinal import BODY, both, modulated, practised
from envs import keys
from envs.base import Box
from envs.tasks.unicycle import unicycle

if TYPE_CHECKING:
    from agents.base import TimeStep

LANES, UNROLL, SIZE = 64, 50, 2
"""Of the practice: environments and steps of a rollout. Numbers in a modulation."""


@cache
def _judge(practice: int, period: int, steps: int, bodies: int) -> Callable[[jax.Array], jax.Array]:
    """`(key) -> ratio`."""
    near, open_field = unicycle(), unicycle(time_limit=steps + 1)
    spec = near.spec
    torso = lambda space, sizes: networks.Torso(space, sizes, cnn=None, activation=jnp.tanh)  # noqa: E731
    below = {BODY: spec.observation[BODY], "modulation": Box((SIZE,))}
    low = networks.q_network(torso(below, (32, 32)), networks.GaussianPolicy(2))
    first = networks.q_network(torso(spec.observation, (64, 64)), networks.Values(SIZE))
    value = networks.q_network(torso(spec.observation, (64, 64)), networks.Value())
    agent = ppo(both(low, first, value, SIZE), optimisers.adam(1e-3, 0.5), discount=0.95)
    rollouts = -(-practice // (LANES * UNROLL))
    practise = practised(agent, near, period, lanes=LANES, unroll=UNROLL, rollouts=rollouts)

    def wander(key: jax.Array, act: Callable[..., tuple[jax.Array, jax.Array]]) -> jax.Array:
        """The root of the mean squared distance from where bodies began."""
        k_reset, k_play = jax.random.split(key)
        state, timestep = jax.vmap(open_field.reset)(jax.random.split(k_reset, bodies))

        def step(now: tuple, each: tuple[jax.Array, jax.Array]) -> tuple[tuple, None]:
            state, timestep, c = now
            action, c = act(each[0], each[1], timestep, c)
            return (*jax.vmap(open_field.step)(state, action), c), None

        start: Any = (state, timestep, jnp.zeros((bodies, SIZE)))
        (state, *_), _ = jax.lax.scan(step, start, (jax.random.split(k_play, steps), jnp.arange(steps)))
        return jnp.sqrt(jnp.mean(jnp.sum(jnp.square(state.inner.place), axis=-1)))

    def run(key: jax.Array) -> jax.Array:
        k_practice, k_one, k_other = jax.random.split(key, 3)
        params, _ = practise(k_practice)

        def by_modulation(
            key: jax.Array, t: jax.Array, timestep: "TimeStep", c: jax.Array
        ) -> tuple[jax.Array, jax.Array]:
            k_new, k_act = jax.random.split(key)
            c = jnp.where(t % period == 0, jax.random.normal(k_new, c.shape), c)
            row = jax.tree.map(lambda x: x[None], timestep)
            return modulated(low, params, row.observation, c[None], row.first()).sample(k_act)[0], c

        def by_action(key: jax.Array, t: jax.Array, timestep: "TimeStep", c: jax.Array) -> tuple[jax.Array, jax.Array]:
            return jax.random.uniform(key, (bodies, 2), minval=-1.0, maxval=1.0), c

        return wander(k_one, by_modulation) / wander(k_other, by_action)

    return jax.jit(run)


def ratio(
    seeds: Sequence[int], practice: int = 400_000, period: int = 10, steps: int = 200, bodies: int = 1_024
) -> np.ndarray:
    """The rms distance that a unicycle gets to by random modulations N(0, I), over that by uniformly random actions.

    Args:
      seeds: of the practice and of what is drawn.
      practice: environment steps in which the low level learns to reach goals nearby; 0 for none.
      period: K, steps for which a modulation is held, in practice too.
      steps: for which bodies move.
      bodies: of which the mean is taken.

    Returns:
      `[seeds]`.
    """
    judge = _judge(practice, period, steps, bodies)
    return np.array([float(judge(keys.key(seed))) for seed in seeds])
