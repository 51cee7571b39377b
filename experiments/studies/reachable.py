"""Temporal difference models against the exact values of tasks whose distances in steps are known."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.base import Agent, Array, Key, Sample, Step, Tree
from agents.common import optimisers
from agents.common.critics import with_action
from agents.common.objectives import taken
from agents.ddpg import Params
from agents.tdm import Reach, spaces, tdm
from envs import keys
from envs.base import Box, Discrete
from envs.tasks import steps_to_goal

HORIZON, BATCH, SIDE = 8, 256, 8
"""The longest horizon; transitions per update; the largest coordinate of places and goals that are judged."""
MAKERS = {"line": steps_to_goal.integer_line, "plane": steps_to_goal.point_mass}


def _agent(task: str, structured: bool, **settings: Any) -> tuple[Agent, Reach]:
    spec: Any = MAKERS[task]().spec
    seen = spaces(spec.observation)
    goal = spec.observation["desired_goal"]
    torso = lambda space: networks.Torso(space, (128, 128), cnn=None)  # noqa: E731
    policy = None
    if isinstance(spec.action, Discrete):
        critic = networks.q_network(torso(seen), networks.CategoricalQ(spec.action.num, atoms=goal.shape[0]))
    else:
        joined = with_action(seen, Box(spec.action.shape, -1.0, 1.0))
        critic = networks.q_network(torso(joined), networks.Values(goal.shape[0]))
        policy = networks.q_network(torso(seen), networks.DeterministicPolicy(spec.action.shape[0]))
    chains = Params(optimisers.adam(1e-3), optimisers.adam(1e-3))
    options = {"horizon": HORIZON, "structured": structured, "target_rate": 0.01, **settings}
    return tdm(critic, policy, chains, goal, **options), Reach(critic, HORIZON, structured)


@cache
def _trained(
    task: str, updates: int, structured: bool, countdown: bool, pay: Literal["end", "always"]
) -> Callable[[Key], Array]:
    """`(key) -> (state, mean error)`: learns from random transitions towards random goals, and is judged on others."""
    env: Any = MAKERS[task]()
    agent, reach = _agent(task, structured, countdown=countdown, pay=pay)
    discrete = isinstance(env.spec.action, Discrete)

    def actions(key: jax.Array, count: int) -> jax.Array:
        if discrete:
            return jax.random.randint(key, (count,), 0, env.spec.action.num)
        return jax.random.uniform(key, (count, *env.spec.action.shape), minval=-1.0, maxval=1.0)

    def window(key: jax.Array) -> Sample:
        k_reset, k_action = jax.random.split(key)
        state, before = jax.vmap(env.reset)(jax.random.split(k_reset, BATCH))
        action = actions(k_action, BATCH)
        _, after = jax.vmap(env.step)(state, action)
        rows: Any = jax.tree.map(lambda *x: jnp.stack(x), before, after)
        return Sample(Step(rows, jnp.stack([action, action])))

    def error(params: Tree, key: jax.Array) -> jax.Array:
        k_reset, k_action, k_tau = jax.random.split(key, 3)
        _, row = jax.vmap(env.reset)(jax.random.split(k_reset, 8_192))
        action = actions(k_action, 8_192)
        tau = jax.random.randint(k_tau, action.shape[:1], 0, HORIZON + 1)
        goal, place = (row.observation[name] for name in ("desired_goal", "achieved_goal"))
        seen = jax.tree.map(lambda x: x[None], reach.seen(row, goal, tau))
        _, q = reach.values(params, seen, None if discrete else action[None])
        q = taken(q[0], action) if discrete else q[0]
        move = action[:, None] - 1.0 if discrete else action
        apart = jnp.mean(jnp.abs(q - steps_to_goal.exact(place, move, goal, tau)), axis=-1)
        inside = jnp.all((jnp.abs(place) <= SIDE) & (jnp.abs(goal) <= SIDE), axis=-1)
        return jnp.sum(apart * inside) / jnp.sum(inside)

    def run(key: jax.Array) -> jax.Array:
        k_init, k_learn, k_judge = jax.random.split(key, 3)
        first = jax.tree.map(lambda x: x[0], window(k_init).steps.timestep)
        state = agent.init(k_init, first)

        def step(state: Tree, key: jax.Array) -> tuple[Tree, None]:
            k_window, k_update = jax.random.split(key)
            return agent.update(state, k_update, window(k_window))[0], None

        state, _ = jax.lax.scan(step, state, jax.random.split(k_learn, updates))
        return error(state.critic.params, k_judge)

    return jax.jit(run)


def error(
    seeds: Sequence[int],
    task: Literal["line", "plane"] = "line",
    updates: int = 20_000,
    structured: bool = True,
    countdown: bool = True,
    pay: Literal["end", "always"] = "end",
) -> np.ndarray:
    """The mean distance of learned values from -max(|s + a - g| - τ, 0), of places and goals within ±8 and τ to 8.

    Args:
      seeds: of parameters and transitions.
      task: the "line" of whole numbers or the "plane" with a point mass; a step is 1 long in either.
      updates: gradient steps, each on 256 transitions from random places towards random goals.
      structured: the network tells what is reached, and not the values.
      countdown: the next row has a step less to go.
      pay: in the last step, or "always".

    Returns:
      `[seeds]`, in steps.
    """
    judged = _trained(task, updates, structured, countdown, pay)
    return np.array([float(judged(keys.key(seed))) for seed in seeds])
