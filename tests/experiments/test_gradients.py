"""Actors that send gradients: one is the host driver, and stale gradients and outliers are dropped."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Sample
from agents.common import optimisers, wrappers
from envs import keys
from envs.base import blank
from experiments.drivers import engines, slopes, told
from experiments.drivers.lanes import key_words
from experiments.drivers.terms import Terms
from tests.experiments.apart import ENV, LANES, by_gradients, on_host, parts_of, played, sending_gradients


@pytest.mark.parametrize("name", ["a2c", "dqn"])
def test_one_actor_is_the_host_driver(name):
    expected, told_there, _ = played(on_host(name))
    found, told_here, _ = played(by_gradients(name, Terms()))
    chex.assert_trees_all_close(found.agent, expected.agent, atol=1e-6)
    for a, b in zip(told_here, told_there, strict=True):
        chex.assert_trees_all_close({k: a[k] for k in b}, jax.tree.map(np.float32, b), rtol=1e-4, atol=1e-5)
        assert a["version_age"] == 0 and a["dropped"] == 0


def test_gradients_lack_what_the_others_sent_meanwhile_and_old_ones_are_dropped():
    terms = Terms(actors=2, ahead=1)
    first, metrics, _ = played(by_gradients("a2c", terms))
    again, _, _ = played(by_gradients("a2c", terms, engines.threads(sending_gradients("a2c", terms))))
    chex.assert_trees_all_equal(first, again)
    assert metrics[-1]["version_age"] == 3 and metrics[-1]["dropped"] == 0  # two actors, two gradients each
    _, metrics, _ = played(by_gradients("a2c", terms, most_age=1))
    assert 0.4 < metrics[-1]["dropped"] < 0.9


def shipped() -> Any:
    """What a fresh DQN's actors are given."""
    agent = parts_of("dqn").agent
    state = agent.init(keys.key(0), jax.tree.map(jnp.asarray, blank(ENV.spec, LANES)))
    leaves = told.chosen(state, slopes.needed(parts_of("dqn"), ENV.spec, LANES))
    return jax.tree.map(lambda x: np.array(x)[None, None], (agent.actor(state), leaves))


def test_an_actor_that_is_begun_anew_fills_its_replay_again():
    terms = Terms()
    made = sending_gradients("dqn", terms)(0, 1)
    there = shipped()
    sent = made.grade(there, 5, key_words(keys.key(1)), key_words(keys.key(2)), True)
    assert sent.version == 5 and sent.finished[0] > 0 and np.isfinite(sent.metrics["loss"])
    assert any(np.abs(x).max() > 0 for x in jax.tree.leaves(sent.gradient))
    made.close()


def test_outliers_count_for_nothing():
    terms = Terms()
    made, plain = sending_gradients("dqn", terms, outliers=0.5)(0, 0), sending_gradients("dqn", terms)(0, 0)
    there = shipped()
    size = lambda sent: float(optimisers.optax.tree.norm(sent.gradient))  # noqa: E731
    ask = lambda who, i, leaves: who.grade(  # noqa: E731
        (there[0], leaves), 0, key_words(keys.key(i)), key_words(keys.key(100 + i)), i == 0
    )
    for i in range(4):
        usual = [size(ask(who, i, there[1])) for who in (made, plain)]
        assert usual[0] in (0, usual[1]) and usual[1] > 0, "a batch counts whole or not at all"
    mad = [np.where(np.abs(x) > 0, x * 30, x) for x in there[1]]  # values, and so errors, that nobody has seen before
    assert size(ask(made, 9, mad)) == 0 and size(ask(plain, 9, mad)) > 10 * usual[1]
    later = [size(ask(made, 10 + i, mad)) for i in range(40)]
    assert later[-1] > 0, "errors that stay are usual in the end"
    made.close()
    plain.close()


def test_who_learns_in_other_ways_is_refused():
    slopes.check(parts_of("a2c"), ENV.spec, LANES)
    slopes.check(parts_of("dqn"), ENV.spec, LANES)
    with pytest.raises(ValueError, match="in other ways than by one gradient"):
        slopes.check(parts_of("ppo"), ENV.spec, LANES)
    parts = parts_of("a2c")
    counting = parts._replace(agent=wrappers.normalise_observations(parts.agent, ENV.spec.observation))
    with pytest.raises(ValueError, match="in other ways than by one gradient"):
        slopes.check(counting, ENV.spec, LANES)


def test_a_given_gradient_is_what_is_descended():
    agent = parts_of("a2c").agent
    state = agent.init(keys.key(0), jax.tree.map(jnp.asarray, blank(ENV.spec, LANES)))
    like = told.sample_of(parts_of("a2c"), ENV.spec, LANES)
    sample: Sample = jax.tree.map(lambda x: jnp.ones(x.shape, x.dtype), like)
    slope, info = slopes.gradient(agent, state, keys.key(1), sample)
    whole, _ = agent.update(state, keys.key(1), sample)
    after, measured = slopes.apply(agent, state, keys.key(1), slope, like)
    chex.assert_trees_all_close(after, whole, rtol=1e-6)
    assert set(measured) == {"gradient_norm", "learning_rate"} and not set(measured) & set(info.metrics)
