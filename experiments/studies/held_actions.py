"""Random play of the I-maze, whose goals are 9 to 13 moves and a turn away, with actions that are held (εz-greedy)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.common import exploration, optimisers
from agents.dqn import dqn
from envs import keys
from envs.tasks.i_maze import i_maze

if TYPE_CHECKING:
    from envs.base import Key


def share_at_a_goal(seeds: Sequence[int], longest: int = 1, episodes: int = 8_000) -> np.ndarray:
    """Share of the episodes that end at a goal, either one, rather than at their time limit.

    Args:
      seeds: of the play.
      longest: the most times that a random action is repeated, drawn with P(n) ∝ 1/n²; 1 is ε-greedy with ε = 1.
      episodes: of each seed, all at once.

    Returns:
      `[seeds]`.
    """
    env: Any = i_maze()
    network = networks.q_network(networks.Torso(env.spec.observation, (4,)), networks.QValues(env.spec.action.num))
    agent = exploration.extended(dqn(network, optimisers.adam(1e-2), epsilon=1.0), env.spec.action.num, longest)

    def play(key: "Key") -> jax.Array:
        k_env, k_agent, k_act = keys.split(key, 3)
        env_state, timestep = jax.vmap(env.reset)(keys.split(k_env, episodes))
        actor = agent.actor(agent.init(k_agent, timestep))

        def step(state: tuple, key: "Key") -> tuple[tuple, None]:
            env_state, timestep, carry, over, found = state
            action, carry, _ = agent.act(actor, key, carry, timestep, True)
            env_state, timestep = jax.vmap(env.step)(env_state, action)
            found |= ~over & (timestep.discount == 0)
            return (env_state, timestep, carry, over | timestep.last(), found), None

        nothing = jnp.zeros(episodes, bool)
        state = (env_state, timestep, agent.begin(episodes), nothing, nothing)
        return jnp.mean(jax.lax.scan(step, state, keys.split(k_act, env.spec.time_limit))[0][-1])

    return np.asarray(jax.jit(lambda x: jax.lax.map(play, x))(keys.key(np.array(seeds))), np.float64)
