"""Text-VIN: what its network is blind to, mimicry of a teacher, and what the command refuses."""

import dataclasses
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.actor_mimic import mimicking
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.dqn import Actor
from envs import keys
from envs.tasks.entity_games import descriptions
from experiments import text_vin
from experiments.run.plans import Size
from networks.base import Network

SMALL = text_vin.Config(
    text_size=4, numbers=2, iterations=2, channels=3, reactive=8, batch_size=8, buffer_size=800, unroll=8, warmup=100
)
ENV = envs.make("bellmax/entity-games", size=4, friends=1, enemies=1, walls=2)
SIZE = Size(8, 1, 10_000)


RNG = np.random.default_rng(1)
SEEN = {
    "map": RNG.integers(7, size=(6, 4, 4)).astype(np.uint8),
    "here": RNG.integers(4, size=(6, 2)).astype(np.uint8),
    "descriptions": np.stack([descriptions()[0]] * 6),
}


def moved(config, change):
    """How far the Q of a few games moves as the observation is changed."""
    network = text_vin.network(config, ENV.spec)

    def by(key, seen, other):
        params, first = network.init(key, seen), jnp.ones((1, 6), bool)
        q = [network.apply(params, None, (), jax.tree.map(lambda x: x[None], x), first)[0] for x in (seen, other)]
        return jnp.max(jnp.abs(q[0] - q[1]))

    return float(jax.jit(by)(keys.key(3), SEEN, change(SEEN)))


def reworded(seen):
    return {**seen, "descriptions": seen["descriptions"][:, ::-1]}


def renumbered(seen):
    """The same entities with the same descriptions, by other numbers."""
    swapped = np.where(seen["map"] > 0, 13 - seen["map"], 0).astype(np.uint8)
    return {**seen, "map": swapped, "descriptions": seen["descriptions"][:, ::-1]}


@pytest.mark.parametrize(
    ("flags", "by_words", "by_numbers"),
    [({}, True, True), ({"text": "none"}, False, True), ({"numbers": 0}, True, False), ({"iterations": 0}, True, True)],
)
def test_the_network_knows_entities_by_numbers_and_words(flags, by_words, by_numbers):
    config = dataclasses.replace(SMALL, **flags)
    assert (moved(config, reworded) > 1e-6) == by_words
    assert (moved(config, renumbered) > 1e-6) == by_numbers


def test_a_mimic_is_taught_the_softmax_of_the_teacher_s_values():
    rng = np.random.default_rng(0)
    logits, taught = rng.normal(size=(2, 3, 4, 5))
    network = Network(lambda key, seen: (), lambda params, key, carry, seen, first: (params, carry), lambda batch: ())
    kinds = jnp.full((4, 4), MID, jnp.int8).at[2, 1].set(FIRST)
    zeros = jnp.zeros((4, 4))
    steps = Step(TimeStep(kinds, zeros, zeros, zeros), zeros)
    loss = mimicking(network, lambda seen: jnp.float32(taught), 0.5)(lambda *_: None)
    weights = jnp.arange(1.0, 5.0)
    found, (priority, told) = loss(jnp.float32(logits), None, keys.key(0), Sample(steps, (), weights))
    chance = np.exp(taught / 0.5) / np.exp(taught / 0.5).sum(-1, keepdims=True)
    each = -(chance * (logits - np.log(np.exp(logits).sum(-1, keepdims=True)))).sum(-1)
    counts = np.ones((3, 4))
    counts[1, 1] = 0
    np.testing.assert_allclose(found, (each * counts * np.asarray(weights)).sum() / counts.sum(), rtol=1e-5)
    np.testing.assert_allclose(priority, (each * counts).sum(0) / counts.sum(0), rtol=1e-5)
    agree = taught.argmax(-1) == logits.argmax(-1)
    np.testing.assert_allclose(told["td_error"], ((1 - agree) * counts).sum() / counts.sum(), rtol=1e-5)


def test_the_teacher_is_the_network_of_a_run_and_other_runs_are_refused(tmp_path, monkeypatch):
    network = text_vin.network(SMALL, ENV.spec)
    params = jax.jit(lambda key: jax.vmap(lambda key: network.init(key, SEEN))(key[None]))(keys.key(0))
    kept = SimpleNamespace(
        experiment=SimpleNamespace(name="text_vin"), env=ENV, flags=SimpleNamespace(agent=SMALL),
        actors=lambda which: Actor(params, jnp.zeros(1)),
    )  # fmt: skip
    monkeypatch.setattr(text_vin.run, "load", lambda folder: kept)
    config = dataclasses.replace(SMALL, teacher="a-run", text="none")
    text_vin.check(config, ENV.spec, SIZE)
    window = jax.tree.map(lambda x: jnp.asarray(x)[None], SEEN)
    taught = jax.jit(text_vin.teacher(config, ENV.spec))(window)
    own = network.apply(jax.tree.map(lambda x: x[0], params), None, (), window, jnp.ones((1, 6), bool))[0]
    np.testing.assert_allclose(taught, own, rtol=1e-5, atol=1e-6)
    other = envs.make("bellmax/entity-games", size=5)
    with pytest.raises(ValueError, match=r"--agent.teacher a-run: is a run of text_vin on .* must be one of"):
        text_vin.check(config, other.spec, SIZE)
    monkeypatch.undo()
    with pytest.raises(ValueError, match=f"--agent.teacher {tmp_path}"):
        text_vin.check(dataclasses.replace(SMALL, teacher=str(tmp_path)), ENV.spec, SIZE)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"iterations": 0, "reactive": 0}, "--agent.iterations 0: with --agent.reactive 0 nothing is left"),
        ({"text": "none", "numbers": 0}, "--agent.numbers 0: with --agent.text none entities look alike"),
    ],
)
def test_flags_that_leave_nothing_are_refused(flags, told):
    with pytest.raises(ValueError, match=told):
        text_vin.check(dataclasses.replace(SMALL, **flags), ENV.spec, SIZE)


def test_tasks_without_descriptions_are_refused():
    with pytest.raises(
        ValueError, match="--env bellmax/sprite-maps: text_vin needs observations of descriptions, here, map"
    ):
        text_vin.check(SMALL, envs.make("bellmax/sprite-maps").spec, SIZE)
