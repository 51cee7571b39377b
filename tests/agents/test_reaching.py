"""Agents that learn from data how to reach goals, on a line that was walked at random."""

from importlib import import_module
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import losses
from agents.base import FIRST, LAST, MID, Step, TimeStep
from agents.common import reaching
from agents.common.critics import apply
from envs import goals, keys
from envs.base import Box, Spec, host_rows
from experiments import parts
from experiments.drivers import offline
from experiments.run import flags, prepare
from replay import dataset

PLACE = Box((1,), -1.0, 1.0)
SPEC = Spec("line", goals.spaces(PLACE, PLACE), Box((1,), -1.0, 1.0), 30, goals.near(0.1))
UPDATES = 1000
WORDS = {
    "hiql": "--agent.subgoal-steps 3 --agent.discount 0.9 --agent.target-rate 0.05 --agent.code 4",
    "qrl": "--agent.latent 16 --agent.component 4 --agent.limit 30 --agent.softness 6 --agent.margin 0.01",
    "crl": "--agent.latent 16 --agent.discount 0.8",
    "bc": "--agent.goals future --agent.no-normalise-observations",
}
SHARED = "--dataset x.npz --agent.hidden 32 --agent.batch-size 64 --agent.learning-rate 0.003"


def walks() -> replay.Dataset:
    """Episodes of 30 steps of up to 0.2 between -1 and 1, in directions that last for some steps."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(40):
        place, seen, acted = rng.uniform(-1, 1), [], []
        for t in range(31):
            lean = rng.choice([-1.0, 1.0]) if t % 5 == 0 else lean  # noqa: F821
            action = np.clip(lean * rng.uniform(0, 1.2), -1, 1)
            seen.append(place)
            acted.append(action)
            place = np.clip(place + 0.2 * action, -1, 1)
        at = np.array(seen, np.float32)[:, None]
        kinds = np.array([FIRST, *[MID] * 29, LAST], np.int8)
        row = host_rows(kinds, np.zeros(31), np.ones(31), goals.observed(at, at, np.zeros_like(at)))
        made.append(Step(row, np.array(acted, np.float32)[:, None]))
    return dataset.joined(made, env="line")


class Trained(NamedTuple):
    """A small run of a command on the line."""

    config: Any
    agent: Any
    state: Any
    metrics: dict[str, Any]


@pytest.fixture(scope="module")
def trained() -> dict[str, Trained]:
    """Of every command, after so many updates."""
    data = walks()
    facts, lent = dataset.facts(data), jax.tree.map(jnp.asarray, replay.arrays(data))
    found = {}
    for name, words in WORDS.items():
        experiment = import_module(f"experiments.{name}").experiment
        config = flags.parse(experiment.flags, f"{SHARED} {words}".split(), name)
        made = experiment.make(config.agent, SPEC, prepare.size_of(config, facts))
        run = offline.loop(made, SPEC, UPDATES)
        step = jax.jit(lambda lent, key, run=run: run.step(lent, run.init(key)))
        after, metrics = step(lent, keys.key(0))
        found[name] = Trained(config.agent, made.agent, after.agent, metrics)
    return found


PLACES = np.linspace(-0.9, 0.9, 7, dtype=np.float32)


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """All pairs of places, `[49, 1]` each."""
    x, g = np.meshgrid(PLACES, PLACES, indexing="ij")
    return x.reshape(-1, 1), g.reshape(-1, 1)


def rows(x: np.ndarray, g: np.ndarray) -> TimeStep:
    n = len(x)
    seen = jax.tree.map(jnp.asarray, goals.observed(x, x, g))
    return TimeStep(jnp.full(n, MID, jnp.int8), jnp.zeros(n), jnp.ones(n), seen)


@pytest.mark.parametrize("name", ["hiql", "qrl", "crl"])
def test_policies_go_towards_the_goal(trained, name):
    x, g = pairs()
    run = trained[name]
    action, _, _ = run.agent.act(run.agent.actor(run.state), keys.key(0), run.agent.begin(len(x)), rows(x, g), False)
    far = np.abs(g - x)[:, 0] > 0.25
    right = np.sign(np.asarray(action)) == np.sign(g - x)
    assert right[far].mean() > 0.95 and np.abs(action).max() <= 1
    drawn = [run.agent.act(run.agent.actor(run.state), keys.key(k), (), rows(x, g), True)[0] for k in (0, 1)]
    assert (drawn[0] != drawn[1]).any() and np.abs(drawn[0]).max() <= 1


def test_cloning_with_goals_looks_at_them(trained):
    x, g = pairs()
    run = trained["bc"]
    action, _, _ = run.agent.act(run.agent.actor(run.state), keys.key(0), (), rows(x, g), False)
    assert np.corrcoef(np.asarray(action)[:, 0], (g - x)[:, 0])[0, 1] > 0.5


def test_distances_are_numbers_of_steps(trained):
    """A step is at most 0.2 long, so that the way from x to g takes |g - x| / 0.2 of them."""
    run = trained["qrl"]
    embedding = parts.reaching.network(
        run.config, SPEC._replace(observation=PLACE), networks.Embedding(16), values=True
    )
    x, g = (jnp.asarray(each)[None] for each in pairs())
    code = lambda at: embedding.apply(run.state.params.nets.embedding, None, (), at, jnp.zeros(at.shape[:2], bool))[0]  # noqa: E731
    found = np.asarray(losses.interval_quasimetric(code(x), code(g), jax.nn.sigmoid(run.state.params.mix), 4))[0]
    steps = np.asarray(jnp.abs(g - x) / 0.2)[0, :, 0]
    assert np.corrcoef(found, steps)[0, 1] > 0.95
    assert 0.9 < found.max() / steps.max() < 1.7  # of what is pushed apart up to 30 and farther


def test_values_of_goals_near_by_are_greater(trained):
    run = trained["hiql"]
    nets, (x, g) = run.state.params, pairs()
    seen = reaching.posed(jax.tree.map(lambda each: each[None], rows(x, g)))
    shared, spec = parts.reaching, parts.reaching.seeing(SPEC)
    code = apply(shared.network(run.config, spec, networks.Embedding(4, normalised=True), True), nets.code, seen)
    np.testing.assert_allclose(np.linalg.norm(code, axis=-1), 2, rtol=1e-4)
    coded = shared.seeing(SPEC, desired_goal=Box((4,)))
    value = networks.ensemble(shared.network(run.config, coded, networks.Value(), True), 2)
    within = seen._replace(observation={**seen.observation, "desired_goal": code})
    v = np.asarray(apply(value, nets.value, within)).mean(0)[0]
    distance = np.abs(g - x)[:, 0]
    assert np.corrcoef(v, distance)[0, 1] < -0.9 and v[distance > 1.5].max() < v[distance < 0.1].min()
    assert 0.2 < run.metrics["reached"] < 0.3  # besides those that are drawn so, walks that stand at an end


def test_goals_are_reached_where_all_of_what_is_achieved_is_the_same():
    x, g = np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([[0.0, 1.0], [0.0, 2.0]])
    here, there = (jax.tree.map(lambda each: each[None], rows(at, at)) for at in (x, g))
    np.testing.assert_array_equal(reaching.reached(here, there), [[True, False]])


def test_windows_of_another_length_are_refused():
    row = rows(*pairs())
    steps = Step(jax.tree.map(lambda x: jnp.stack([x] * 3), row), jnp.zeros((3, 49, 1)))
    with pytest.raises(ValueError, match="windows have 3 rows; must have the two of a transition and 2 goals"):
        reaching.apart(steps, 2)
