"""Universal values on four rooms: what a rank can express, and what the two stages make of it."""

from functools import cache, partial

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

DISTANCE, ADJACENT = four_rooms.distances(), four_rooms.neighbours()
CELLS = len(DISTANCE)
VALUES = 0.9**DISTANCE
KNOWN = jnp.asarray(VALUES, jnp.float32)


def optimal_share(values: np.ndarray, pairs: np.ndarray) -> float:
    """Of the pairs (s, g), s not g, the share where going to the best neighbour by `values` is a shortest way."""
    move = values[ADJACENT].argmax(1)  # [S, G]
    reached = ADJACENT[np.arange(CELLS)[:, None], move]
    nearer = DISTANCE[reached, np.arange(CELLS)[None]] < DISTANCE
    return float(nearer[pairs & (DISTANCE > 0)].mean())


@cache
def held_out() -> np.ndarray:
    return np.random.default_rng(0).random((CELLS, CELLS)) < 0.3


@partial(jax.jit, static_argnums=(0,))
def factors(rank: int, known: jax.Array, values: jax.Array = KNOWN) -> uvfa.Factors:
    return uvfa.factorise(jax.random.key(0), values, known, rank)


def test_seven_dimensions_suffice_and_one_does_not():
    share = {}
    for rank in (1, 7):
        values = np.asarray(factors(rank, ~held_out()).values())
        share[rank] = optimal_share(values, held_out())
    assert share[7] >= 0.97 and share[1] <= 0.80, share


def test_missing_entries_are_not_zeros():
    filled = jnp.where(held_out(), 0.0, jnp.asarray(VALUES, jnp.float32))
    values = np.asarray(factors(7, jnp.ones((CELLS, CELLS), bool), filled).values())
    right = np.asarray(factors(7, ~held_out()).values())
    error = [np.sqrt(np.mean((v - VALUES)[held_out()] ** 2)) for v in (values, right)]
    assert error[0] > 2 * error[1], error


def stream(rank: int):
    return networks.MLP((128, 128, rank), activate_final=False)


@partial(jax.jit, static_argnums=(0, 3))
def two_stages(rank: int, known: jax.Array, inputs: tuple, steps: int = 800) -> jax.Array:
    """Values `[S, G']` of a universal approximator trained in two stages; G' are the goals of the inputs' third."""
    states, goals, asked = inputs
    hat = factors(rank, known)
    module, k_phi, k_psi = stream(rank), jax.random.key(1), jax.random.key(2)
    apply = lambda params, x: module.apply({"params": params}, x)  # noqa: E731
    init = lambda key, x: module.init(key, x)["params"]  # noqa: E731
    phi, _ = uvfa.regress(k_phi, init, apply, states, hat.phi, optimisers.adam(1e-3), steps)
    psi, _ = uvfa.regress(k_psi, init, apply, goals, hat.psi[: goals.shape[0]], optimisers.adam(1e-3), steps)
    return apply(phi, states) @ apply(psi, asked).T


def test_two_stages_reach_held_out_pairs():
    values = np.asarray(two_stages(7, ~held_out(), (jnp.eye(CELLS),) * 3))
    assert optimal_share(values, held_out()) >= 0.97


def test_goals_never_seen_are_served_by_their_coordinates():
    """Whole columns are held out; a table of goals would know nothing of them."""
    order = np.random.default_rng(1).permutation(CELLS)
    trained, new = order[:84], order[84:]
    places = jnp.asarray((four_rooms.cells() - 6.0) / 6.0, jnp.float32)
    waves = [f(places * n) for f in (jnp.sin, jnp.cos) for n in (1.0, 2.0, 4.0)]
    places = jnp.concatenate(waves, axis=-1)
    values = jnp.asarray(VALUES[:, trained], jnp.float32)
    hat = uvfa.factorise(jax.random.key(0), values, jnp.ones(values.shape, bool), 7)
    module = stream(7)
    apply = lambda params, x: module.apply({"params": params}, x)  # noqa: E731
    init = lambda key, x: module.init(key, x)["params"]  # noqa: E731
    rate = optimisers.adam(1e-3)
    fit = jax.jit(lambda: uvfa.regress(jax.random.key(1), init, apply, places[trained], hat.psi, rate, 800))
    psi, loss = fit()
    assert loss[-1] < 0.1 * loss[0]
    everywhere = np.zeros((CELLS, CELLS))
    everywhere[:, new] = np.asarray(hat.phi @ apply(psi, places[new]).T)
    asked = np.zeros((CELLS, CELLS), bool)
    asked[:, new] = True
    chance = optimal_share(np.random.default_rng(2).random((CELLS, CELLS)), asked)
    assert optimal_share(everywhere, asked) > max(0.7, 1.5 * chance)


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
