"""PPO's options, and why a truncation is not a termination."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import keys, losses, optimisers
from agents.base import LAST, Agent, Sample
from agents.ppo import ppo
from envs.base import Box, Discrete, Environment, Spec, episodic
from envs.catch import catch
from experiments import drivers, loops
from tests.agents.learning import learned
from tests.agents.listing import actor_critic, torso

LIMIT, PLACES, COST = 5, 8, 0.5


def test_the_penalty_follows_the_divergence():
    for kl, beta in ((0.016, 2.0), (0.011, 1.0), (0.009, 1.0), (0.006, 0.5)):
        assert losses.adapted_penalty(1.0, jnp.float32(kl), 0.01) == beta


def on_catch(**options: Any) -> tuple[Any, dict]:
    """State and metrics after a hundred rollouts on catch."""
    env = catch()
    agent = ppo(actor_critic(env.spec), optimisers.adam(2e-3, 1.0), discount=0.95, **options)
    loop = loops.in_graph(env, agent, replay.on_policy(16), loops.Schedule(16), num_envs=8, iterations=100)
    run, metrics = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    return run.agent, metrics


def test_an_adapted_penalty_keeps_the_divergence_near_its_target():
    _, loose = on_catch(clip=jnp.inf, kl_cost=0.0)
    state, tight = on_catch(clip=jnp.inf, kl_cost=1.0, kl_target=0.003)
    assert state.kl_cost != 1.0
    assert tight["kl"] < 0.6 * loose["kl"]


def test_the_clip_follows_its_schedule():
    _, metrics = on_catch(clip=lambda updates: jnp.where(updates < 1, 0.2, 0.0))
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


def cut_taken_for_an_end(agent: Agent) -> Agent:
    """The agent, told that every episode that was cut had terminated."""

    def update(state: Any, key: Any, sample: Sample) -> Any:
        timestep = sample.steps.timestep
        discount = jnp.where(timestep.step_type == LAST, 0.0, timestep.discount)
        steps = sample.steps._replace(timestep=timestep._replace(discount=discount))
        return agent.update(state, key, sample._replace(steps=steps))

    return agent._replace(update=update)


def climbs(wrap: Any) -> np.ndarray:
    """Return over 50 steps, on average over starts, of three seeds trained on episodes cut after LIMIT."""
    env = ladder(LIMIT)
    network = networks.actor_critic(torso(env.spec), networks.CategoricalPolicy(2), networks.Value())
    agent = ppo(network, optimisers.adam(1e-2, 1.0), discount=0.95, lambda_=0.9, entropy_cost=0.01, minibatches=1)
    parts = drivers.Parts(wrap(agent), replay.on_policy(16), loops.Schedule(16))
    return learned(env, parts, 150, lanes=16, evaluate_on=ladder(50))


def test_a_cut_taken_for_an_end_makes_it_short_sighted():
    right, wrong = climbs(lambda agent: agent), climbs(cut_taken_for_an_end)
    assert (right > 40).all(), right  # climbing at once from an average start earns 46
    assert (wrong < 35).all(), wrong  # staying there earns 25
