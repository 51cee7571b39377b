"""PPO's options, and why a truncation is not a termination."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import losses
from agents.base import LAST, Agent, Sample
from agents.common import optimisers
from agents.ppo import ppo
from envs import keys
from envs.base import Box, Discrete, Environment, Spec, episodic
from envs.tasks.catch import catch
from experiments.drivers import contract, in_graph
from tests.agents.listing import actor_critic, torso

LIMIT, PLACES, COST = 5, 8, 0.5


def test_the_penalty_follows_the_divergence():
    for kl, beta in ((0.016, 2.0), (0.011, 1.0), (0.009, 1.0), (0.006, 0.5)):
        assert losses.adapted_penalty(1.0, jnp.float32(kl), 0.01) == beta


def rollouts_on_catch(agent: Agent, iterations: int) -> Any:
    """A function of a key: state and metrics after so many rollouts on catch."""
    loop = in_graph.loop(catch(), agent, replay.on_policy(9), contract.Schedule(9), num_envs=8, iterations=iterations)
    return lambda key: loop.step(loop.init(key))


def test_an_adapted_penalty_brings_the_divergence_near_its_target():
    def train(kl_cost: Any, kl_target: Any) -> tuple[Any, Any]:
        agent = ppo(
            actor_critic(catch().spec), optimisers.adam(5e-3, 1.0), discount=0.95, clip=jnp.inf,
            kl_cost=kl_cost, kl_target=kl_target, epochs=4, minibatches=1,
        )  # fmt: skip
        run, metrics = rollouts_on_catch(agent, 60)(keys.key(0))
        return run.agent.kl_cost, metrics["kl"]

    (free, cost), (loose, tight) = jax.jit(jax.vmap(train))(jnp.array([0.0, 1.0]), jnp.array([jnp.inf, 3e-4]))
    assert free == 0.0
    assert cost > 1.0
    assert tight < 0.5 * loose


@pytest.mark.slow
def test_the_clip_follows_its_schedule():
    agent = ppo(
        actor_critic(catch().spec), optimisers.adam(5e-3, 1.0), clip=lambda updates: jnp.where(updates < 1, 0.2, 0.0)
    )
    _, metrics = jax.jit(rollouts_on_catch(agent, 60))(keys.key(0))
    assert metrics["clip_fraction"] > 0.9


def test_a_target_needs_a_penalty():
    with pytest.raises(ValueError, match=r"kl_target: 0\.01 needs a kl_cost"):
        ppo(actor_critic(catch().spec), optimisers.adam(1e-3), kl_target=0.01)


def ladder(limit: int) -> Environment:
    """Every step pays by how high one stands, from 0 to 1; a rung up costs COST. Nothing ends it but the limit.

    A rung pays for itself after COST * (PLACES - 1) = 3.5 steps, more than are left on average of LIMIT.
    """

    def transition(key: Any, place: Any, action: Any) -> tuple:
        del key
        up = (action == 1) & (place < PLACES - 1)
        reward = place / (PLACES - 1) - COST * up
        return place + up, reward, jnp.bool_(False)

    def observe(place: Any) -> Any:
        return jax.nn.one_hot(place, PLACES)

    spec = Spec("ladder", Box((PLACES,), 0.0, 1.0), Discrete(2), limit)
    return episodic(lambda key: jax.random.randint(key, (), 0, PLACES), transition, observe, spec)


def cuts_count_as(agent: Agent, discount_at_the_cut: Any) -> Agent:
    """The agent, told that the discount of every LAST row is this: 1 is right for a task that is only cut, 0 an end."""

    def update(state: Any, key: Any, sample: Sample) -> Any:
        timestep = sample.steps.timestep
        discount = jnp.where(timestep.step_type == LAST, discount_at_the_cut, timestep.discount)
        steps = sample.steps._replace(timestep=timestep._replace(discount=discount))
        return agent.update(state, key, sample._replace(steps=steps))

    return agent._replace(update=update)


def test_a_cut_taken_for_an_end_makes_it_short_sighted():
    env = ladder(LIMIT)
    network = networks.actor_critic(torso(env.spec), networks.CategoricalPolicy(2), networks.Value())
    agent = ppo(
        network, optimisers.adam(1e-2, 1.0), discount=0.95, lambda_=0.9, entropy_cost=0.01, epochs=2, minibatches=1
    )

    def train(key: Any, discount_at_the_cut: Any) -> Any:
        """Return over 50 steps, on average over starts, after training on episodes of LIMIT."""
        told = cuts_count_as(agent, discount_at_the_cut)
        loop = in_graph.loop(env, told, replay.on_policy(16), contract.Schedule(16), num_envs=16, iterations=250)
        run, _ = loop.step(loop.init(key))
        return in_graph.evaluation(ladder(50), agent, 64)(loop.actor(run), key)["eval_return"].mean()

    grid = jax.jit(jax.vmap(jax.vmap(train, (0, None)), (None, 0)))
    right, wrong = np.asarray(grid(keys.key(np.arange(3)), jnp.array([1.0, 0.0])))
    assert (right > 40).all(), right  # climbing at once from an average start earns 46
    assert (wrong < 35).all(), wrong  # staying there earns 25
