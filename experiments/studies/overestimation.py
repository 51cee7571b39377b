"""Values where all rewards are noise, so that any policy earns 0: what the second critic of TD3 is for."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.base import MID, Array, Sample, Step, TimeStep, Tree
from agents.common import optimisers
from agents.common.critics import apply, with_action
from agents.ddpg import Params, ddpg
from envs import keys
from envs.base import Box

if TYPE_CHECKING:
    from envs.base import Key

LANES, SIZE, RUNS, UPDATES = 8, 2, 64, 1_000


def values(seed: int, critics: int) -> np.ndarray:
    """The values that runs give their policies after 1,000 updates, `[64]`; 0 is right.

    One state leads to itself, γ = 0.98, and a policy may be any action of two numbers.

    Args:
      seed: of the runs.
      critics: of which targets take the least.
    """
    seen = {"observation": Box((1,))}
    policy = networks.q_network(networks.Torso(seen, ()), networks.DeterministicPolicy(SIZE))
    one = networks.q_network(networks.Torso(with_action(seen, Box((SIZE,))), (32,)), networks.Value())
    critic = networks.ensemble(one, critics)
    chains = Params(optimisers.adam(1e-2), optimisers.adam(1e-2))
    learner = ddpg(policy, critic, chains, discount=0.98, target_rate=0.05)
    kinds, ones = jnp.full((2, LANES), MID, jnp.int8), jnp.ones((2, LANES))

    def noise_alone(key: "Key") -> Step:
        k_action, k_reward = jax.random.split(key)
        action = jax.random.uniform(k_action, (2, LANES, SIZE), minval=-1)
        reward = jax.random.normal(k_reward, (2, LANES))
        return Step(TimeStep(kinds, reward, ones, {"observation": ones[..., None]}), action, {})

    def update(state: Tree, key: "Key") -> tuple[Tree, None]:
        k_draw, k_update = jax.random.split(key)
        return learner.update(state, k_update, Sample(noise_alone(k_draw)))[0], None

    def run(key: "Key") -> Array:
        rows = noise_alone(key).timestep
        state = learner.init(key, jax.tree.map(lambda x: x[0], rows))
        state, _ = jax.lax.scan(update, state, jax.random.split(key, UPDATES))
        return apply(critic, state.critic.params, rows, apply(policy, state.policy.params, rows))[0, 0, 0]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(keys.key(seed), RUNS)))


def mean_value(seeds: Sequence[int], critics: int = 2) -> np.ndarray:
    """The mean of 64 runs' values of their own policies.

    Args:
      seeds: each of 64 runs.
      critics: of which targets take the least.

    Returns:
      `[seeds]`.
    """
    return np.array([values(seed, critics).mean() for seed in seeds])
