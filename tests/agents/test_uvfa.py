"""Universal values on four rooms: what a rank can express, and what the two stages make of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import uvfa
from agents.common import optimisers
from agents.dqn import dqn
from envs import keys
from envs.base import Box, Discrete
from envs.tasks import four_rooms
from experiments.drivers import contract, in_graph
from experiments.studies import universal_values

SEED = range(1)


def test_seven_dimensions_suffice_and_one_does_not():
    assert universal_values.share(SEED, rank=7) >= 0.97
    assert universal_values.share(SEED, rank=1) <= 0.80


def test_missing_entries_are_not_zeros():
    assert universal_values.error(SEED, zeros=True) > 2 * universal_values.error(SEED)


def test_two_stages_reach_held_out_pairs():
    assert universal_values.share(SEED, stages=True) >= 0.97


def test_goals_never_seen_are_served_by_their_coordinates():
    """Whole columns are held out; a table of goals would know nothing of them."""
    chance = universal_values.new_goals([1], random=True)
    assert universal_values.new_goals([1]) > max(0.7, 1.5 * chance)


def test_two_streams_are_a_dot_product():
    space = {"observation": Discrete(5), "desired_goal": Box((2,))}
    network = networks.q_network(networks.Streams(space, (8,)), networks.DotProduct(3, 4))
    seen = {"observation": jnp.arange(5), "desired_goal": jnp.ones((5, 2)) * jnp.arange(5)[:, None]}
    params = jax.jit(network.init)(jax.random.key(0), seen)
    table = {
        "observation": jnp.repeat(jnp.arange(5), 5)[None],
        "desired_goal": jnp.tile(seen["desired_goal"], (5, 1))[None],
    }
    q, _ = jax.jit(network.apply)(params, None, (), table, jnp.zeros((1, 25), bool))
    for a in range(3):
        matrix = np.asarray(q)[0, :, a].reshape(5, 5)
        assert np.linalg.matrix_rank(matrix, tol=1e-4) <= 4
    with pytest.raises(ValueError, match="a two-stream network needs 'desired_goal'"):
        networks.Streams({"observation": Discrete(5)}, (8,))


def test_any_agent_is_goal_conditioned_by_a_wrapper():
    env = four_rooms.four_rooms(time_limit=10)
    space = {name: env.spec.observation[name] for name in uvfa.SEEN}
    network = networks.q_network(networks.Torso(space, (8,)), networks.QValues(4))
    seen = []

    def init(key, observation):
        seen.append(sorted(observation))
        return network.init(key, observation)

    agent = uvfa.goal_conditioned(dqn(network._replace(init=init), optimisers.adam(1e-3)))
    loop = in_graph.loop(env, agent, replay.uniform(64, 8), contract.Schedule(4), num_envs=2, iterations=2)
    _, metrics = jax.eval_shape(loop.step, jax.eval_shape(loop.init, keys.key(0)))
    assert metrics["loss"].shape == ()
    assert seen[0] == ["desired_goal", "observation"]


def test_ranks_below_one_are_refused():
    with pytest.raises(ValueError, match="rank is 0"):
        uvfa.factorise(jax.random.key(0), jnp.ones((2, 2)), jnp.ones((2, 2), bool), 0)


@pytest.mark.slow
def test_bootstrapping_on_random_goals_learns_all_of_them():
    """The paper's section 4.3, with a two-stream network: every transition is learned from for random goals."""
    env = four_rooms.four_rooms(time_limit=50)
    rules = env.spec.goals
    space = {name: env.spec.observation[name] for name in uvfa.SEEN}
    network = networks.q_network(networks.Streams(space, (128,)), networks.DotProduct(4, 32))
    agent = dqn(network, optimisers.adam(1e-3), discount=0.9, epsilon=0.5, target_rate=0.02)
    relabel = replay.hindsight("random", 4, rules.reward, 50, rules.reached)
    memory = replay.mapped(replay.uniform(100_000, 256), relabel)
    agent, schedule = uvfa.goal_conditioned(agent), contract.Schedule(4, 4, 50)
    loop = in_graph.loop(env, agent, memory, schedule, num_envs=16, iterations=5_000, eval_episodes=256)

    def run(key):
        state, _ = loop.step(loop.init(key))
        return loop.evaluate(loop.actor(state), key)["eval_success"].mean()

    assert (np.asarray(jax.jit(jax.vmap(run))(keys.key(np.arange(2)))) >= 0.95).all()
