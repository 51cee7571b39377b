"""A discount that adapts on a chain with a far reward, and after that reward was put out of reach."""

from collections.abc import Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Key, Sample, Step, Tree
from agents.doya import adapted
from agents.dyna_q import dyna_q
from envs import keys
from envs.base import Environment
from envs.tasks.far_reward import far_reward

LANES, LENGTH, START, SETTLE = 32, 8, 0.6, 2_000
SHORT = 3
"""Steps of an episode after which the end is out of reach of most."""


THREE = {"discount": START, "inverse_temperature": 5.0, "learning_rate": 0.5}
"""What γ, β and α begin with where all three adapt."""


def agent(mu: float, start: float = START, sigma: float = 0.7, three: bool = False) -> Agent:
    """Dyna-Q whose discount adapts; its planning lets values follow the discount while a noise lasts.

    With `three` it acts by a softmax, whose inverse temperature adapts too, as does the step size.
    """

    def make(values: Mapping[str, Array]) -> Agent:
        if three:
            gamma, beta, alpha = (values[name] for name in THREE)
            return dyna_q(LENGTH, 2, n=16, learning_rate=alpha, discount=gamma, beta=beta)
        return dyna_q(LENGTH, 2, n=32, learning_rate=0.5, discount=values["discount"], epsilon=0.05)

    begun = THREE if three else {"discount": start}
    return adapted(make, begun, ["discount", "learning_rate"], mu=mu, sigma=sigma, hold=300, settle=SETTLE)


def play(
    env: Environment, learner: Agent, state: Tree, key: Key, steps: int, learn: bool = True
) -> tuple[Tree, tuple[Array, Array]]:
    """So many steps of 32 lanes: the agent's state after them, and discounts and mean rewards `[steps]`."""

    def step(carry: tuple, key: Key) -> tuple[tuple, tuple[Array, Array]]:
        inner, timestep, state = carry
        k_act, k_update = jax.random.split(key)
        action, _, _ = learner.act(learner.actor(state), k_act, (), timestep, learn)
        inner, after = jax.vmap(env.step)(inner, action)
        rows = jax.tree.map(lambda x, y: jnp.stack([x, y]), timestep, after)
        sample = Sample(Step(rows, jnp.stack([action, action])))
        moved, info = learner.update(state, k_update, sample)
        return (inner, after, moved if learn else state), (info.metrics["meta_discount"], jnp.mean(after.reward))

    k_reset, k_run = jax.random.split(key)
    inner, timestep = jax.vmap(env.reset)(jax.random.split(k_reset, LANES))
    (_, _, state), seen = jax.lax.scan(step, (inner, timestep, state), jax.random.split(k_run, steps))
    return state, seen


def learned(
    seeds: Sequence[int],
    figure: Literal["discount", "return", "after"] = "discount",
    mu: float = 1.0,
    steps: int = 60_000,
    reach: bool = False,
    three: bool = False,
) -> np.ndarray:
    """What becomes of a discount that begins too small for the far reward.

    Args:
      seeds: of everything that is drawn.
      figure: "discount", its base after so many steps; "return", of the greedy policy then, as a share of the best one,
        which takes the far reward every eighth step, once its values are those of the discount without noise; "after",
        the base after as many steps more in which the end is out of reach.
      mu: μ; with 0 the discount stays what it is.
      steps: of each lane.
      reach: leave the end within reach.
      three: adapt inverse temperature and step size as well.

    Returns:
      `[seeds]`.
    """
    learner = agent(mu, three=three)
    world, other = far_reward(), far_reward(time_limit=100 if reach else SHORT)

    def run(key: Key) -> Array:
        k_init, k_first, k_second = jax.random.split(key, 3)
        _, timestep = jax.vmap(world.reset)(jax.random.split(k_init, LANES))
        state, (discounts, _) = play(world, learner, learner.init(k_init, timestep), k_first, steps)
        if figure == "return":
            k_settle, k_judge = jax.random.split(k_second)
            still = state._replace(noise=jnp.zeros_like(state.noise))
            still, _ = play(world, agent(0.0, sigma=0.0, three=three), still, k_settle, 1_000)
            return jnp.mean(play(world, learner, still, k_judge, 400, learn=False)[1][1]) * LENGTH
        if figure == "after":
            _, (discounts, _) = play(other, learner, state, k_second, steps)
        return jnp.mean(discounts[-steps // 4 :])

    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.asarray(seeds))))
