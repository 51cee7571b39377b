"""TRPO: its linear algebra against dense matrices, its trust region, and what it is without the line search."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.base import valid
from agents.common import optimisers, recurrence
from agents.trpo import Region, conjugate_gradient, natural_step, trpo
from envs import keys
from envs.tasks.catch import catch
from experiments.drivers import contract, in_graph
from experiments.studies.trust_region import divergence, improvement, small_policy
from networks import Categorical
from tests.agents.listing import torso

RADIUS = 0.05


def test_conjugate_gradients_solve_a_linear_system():
    rng = np.random.default_rng(0)
    root = rng.normal(size=(12, 12))
    a, b = jnp.asarray(root @ root.T + np.eye(12), jnp.float32), jnp.asarray(rng.normal(size=12), jnp.float32)
    np.testing.assert_allclose(conjugate_gradient(lambda v: a @ v, b, 24), np.linalg.solve(a, b), rtol=1e-2, atol=1e-3)
    assert not conjugate_gradient(lambda v: a @ v, jnp.zeros(12), 5).any()


def test_the_step_is_that_of_the_dense_fisher_matrix():
    logits, params = small_policy()
    gradient = jax.random.normal(keys.key(1), params.shape)
    old = Categorical(logits(params))
    kl = lambda x: jnp.mean(old.kl(Categorical(logits(x))))  # noqa: E731
    step = jax.jit(lambda g: natural_step(g, kl, params, radius=RADIUS, damping=1e-3, iterations=60))(gradient)
    fisher = np.asarray(jax.jit(jax.hessian(kl))(params), np.float64) + 1e-3 * np.eye(51)
    x = np.linalg.solve(fisher, np.asarray(gradient, np.float64))
    dense = np.sqrt(2 * RADIUS / (x @ fisher @ x)) * x
    assert step @ dense / np.linalg.norm(step) / np.linalg.norm(dense) > 0.999
    np.testing.assert_allclose(0.5 * step @ fisher @ step, RADIUS, rtol=5e-3)


def test_without_the_line_search_steps_leave_the_region_and_some_make_the_objective_worse():
    seeds = np.arange(64)
    assert (divergence(seeds) <= 1).all()
    assert (improvement(seeds) > 0).mean() > 0.95
    assert (divergence(seeds, line_search=False) > 1).mean() > 0.9
    assert (improvement(seeds, line_search=False) < 0).mean() > 0.1


def divergences(radius: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of every update of a run on catch the KL it reports, the KL it made, and what it reports to have improved."""
    env = catch()
    network = networks.actor_critic(
        torso(env.spec), networks.CategoricalPolicy(3), networks.Value(), critic_torso=torso(env.spec)
    )
    region = Region(radius, damping=1e-3)
    agent = trpo(network, optimisers.adam(3e-3), discount=0.9, region=region, epochs=2)
    loop = in_graph.loop(env, agent, replay.on_policy(16), contract.Schedule(16), num_envs=8, iterations=1)

    def step(run: Any, _: None) -> Any:
        after, metrics = loop.step(run)
        old, new = (recurrence.unroll(network, x.agent.params, keys.key(0), after.replay)[0] for x in (run, after))
        made = jnp.sum(old.kl(new)[:-1], where=valid(after.replay)) / jnp.sum(valid(after.replay))
        return after, (metrics["kl"], made, metrics["improvement"])

    return jax.tree.map(np.asarray, jax.jit(lambda key: jax.lax.scan(step, loop.init(key), None, 60)[1])(keys.key(0)))


def test_no_update_leaves_the_trust_region_and_nearly_all_improve_the_objective():
    reported, made, improved = divergences(radius=0.1)
    np.testing.assert_allclose(made, reported, rtol=1e-2, atol=1e-5)
    assert (made <= 0.1 * 1.01).all()
    assert (improved > 0).mean() > 0.9
