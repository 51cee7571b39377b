"""What steps of a task's own are worth after MAML: mean returns on new tasks after none, one, two and three of them.

Points with goals in a square, as in Finn et al. (2017): after each step a task plays fresh rollouts, and after the
first one the size of the steps is halved, as in the paper's code.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.base import Step, Tree
from agents.common import optimisers
from agents.common.linear_baseline import rollouts
from agents.maml import Inner, Outer, adapting, maml, policy_of
from envs import keys
from envs.base import Array, Environment, Key
from envs.tasks.point_goals import point_goals
from experiments.studies import learned

EPISODES, HORIZON, TASKS = 20, 100, 20
KINDS = {
    "maml": (Inner(), Outer()),
    "promp": (Inner(surrogate="lvc"), Outer(kl_cost=5e-4)),
    "dice": (Inner(surrogate="dice"), Outer()),
    "first-order": (Inner(first_order=True), Outer()),
    "e-maml": (Inner(), Outer(exploration=1.0)),
    "pretraining": (Inner(), Outer(pretrain=True)),
}


def network_of() -> networks.Network:
    """Observation -> distribution: two layers of 64 units."""
    space = point_goals().spec.observation
    return networks.q_network(networks.Torso(space, (64, 64), cnn=None), networks.GaussianPolicy(2))


def played(env: Environment, params: Tree, key: Key, lanes: int, length: int, state: Tree = None) -> tuple[Tree, Step]:
    """A window `[length + 1, lanes]` of play in which each lane has parameters of its own, `[lanes, ...]`.

    Returns:
      Where the lanes are at the last row, to go on from, and the window.
    """
    network, (k_env, k_act) = network_of(), jax.random.split(key)
    state = jax.vmap(env.reset)(jax.random.split(k_env, lanes)) if state is None else state

    def one(params: Tree, key: Key, observation: Array) -> tuple[Array, Array]:
        policy = policy_of(network, params, observation[None])
        return jax.tree.map(lambda x: x[0], policy.sample_and_log_prob(key))

    def body(state: Tree, key: Key) -> tuple[Tree, Step]:
        world, timestep = state
        action, log_prob = jax.vmap(one)(params, jax.random.split(key, lanes), timestep.observation)
        row = Step(timestep, action, {"log_prob": log_prob})
        return jax.vmap(env.step)(world, jnp.clip(action, -1.0, 1.0)), row

    state, rows = jax.lax.scan(body, state, jax.random.split(k_act, length))
    _, peek = body(state, k_act)
    return state, jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), rows, peek)


def points(sparse: bool, horizon: int, episodes: int) -> Environment:
    """Goals in a square that pay by distance, or on a half circle that pay close to them alone."""
    return point_goals("half-circle" if sparse else "square", sparse, horizon, episodes)


def after_steps(
    params: Tree, key: Key, inner: Inner, steps: int, tasks: int, episodes: int, horizon: int, sparse: bool
) -> Array:
    """Mean returns on new tasks after 0 to `steps` steps of their own, `[steps + 1]`."""
    env = points(sparse, horizon, episodes * (steps + 1))
    length, adapt = episodes * (horizon + 1), adapting(network_of(), inner)
    own = jax.tree.map(lambda x: jnp.broadcast_to(x, (tasks, *x.shape)), params)
    state, gains = None, []
    for k in range(steps + 1):
        state, window = played(env, own, jax.random.fold_in(key, k), tasks, length, state)
        rows = rollouts(window, inner.discount, inner.lambda_)
        gains.append(jnp.mean(rows.gain))
        rate = inner.rate if k == 0 else inner.rate / 2
        own = jax.vmap(lambda p, r, rate=rate: adapt(p, r, rate))(own, rows)
    return jnp.stack(gains)


@cache
def curve(
    seed: int,
    kind: str = "maml",
    iterations: int = 60,
    episodes: int = EPISODES,
    horizon: int = HORIZON,
    sparse: bool = False,
    learning_rate: float = 1e-3,
    tested: int = 2 * TASKS,
) -> np.ndarray:
    """Mean returns on new tasks after 0 to 3 steps of their own, `[4]`.

    Args:
      seed: of the run.
      kind: one of `KINDS`.
      iterations: steps of PPO's epochs on a batch of 20 tasks.
      episodes: of each task before a step, and after the last one.
      horizon: of an episode.
      sparse: goals on a half circle, which pay within 0.2 of them alone.
      learning_rate: Adam's step size.
      tested: new tasks. How far their goals are on the mean moves the first of the four, whose standard error is 2.2
        with 40 goals in the square.
    """
    inner, outer = KINDS[kind]
    length = episodes * (horizon + 1)
    env = points(sparse, horizon, 2 * episodes)
    agent = maml(network_of(), optimisers.adam(learning_rate, 1.0), length, inner, outer)

    def whole(key: Key) -> Array:
        k_learn, k_test = jax.random.split(key)
        storage = replay.on_policy(length)
        state, _ = learned(env, agent, storage, k_learn, TASKS, length, 2 * iterations, lambda rows: ())
        return after_steps(state.params, k_test, inner, 3, tested, episodes, horizon, sparse)

    return np.asarray(jax.jit(whole)(keys.key(seed)))


def returns(seeds: Sequence[int], after: int = 1, kind: str = "maml", **options: Any) -> np.ndarray:
    """The mean return on new tasks after so many steps, `[seeds]`; options as for `curve`."""
    return np.array([curve(seed, kind, **options)[after] for seed in seeds])


def gain(seeds: Sequence[int], kind: str = "maml", **options: Any) -> np.ndarray:
    """How much the first step adds to the mean return on new tasks, `[seeds]`; options as for `curve`."""
    found = np.array([curve(seed, kind, **options) for seed in seeds])
    return found[:, 1] - found[:, 0]
