"""Skills by analogy, and the controller that reads lists of instructions."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import skills, zero_shot
from agents.a2c import a2c
from agents.base import Sample, Step
from agents.common import optimisers
from agents.common.practice import practised
from agents.skills import Analogies
from envs import keys
from envs.tasks.instruction_grid import instruction_grid
from envs.tasks.probes import action as probe
from experiments import run
from experiments import zero_shot as command
from networks.instructions import Chosen, Memory, Meta, Skill, Subtask, moved, named
from tests.experiments.running import call

ENV = instruction_grid(count=2, size=4)
SUBTASKS: Any = ENV.spec.subtasks
WORDS = len(ENV.spec.vocabulary.words)


def test_the_pointer_moves_by_one_line_and_stays_at_the_ends():
    each = lambda step: np.asarray(moved(jnp.arange(3), step, 3)).tolist()  # noqa: E731
    assert (each(-1), each(0), each(1)) == ([0, 0, 1], [0, 1, 2], [1, 2, 2])


def test_choices_are_the_product_of_their_parts():
    rng = np.random.default_rng(0)
    update, shift, logits = rng.random(4), rng.normal(size=(4, 3)), rng.normal(size=(4, 3, 24))
    zeros = jnp.zeros(4)
    chosen = Chosen(jnp.asarray(update), jnp.asarray(shift), jnp.asarray(logits), zeros, zeros, zeros)
    softmax = lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True)  # noqa: E731
    anew = update[:, None, None] * softmax(shift)[..., None] * softmax(logits)
    expected = np.concatenate([1 - update[:, None], anew.reshape(4, -1)], -1)
    np.testing.assert_allclose(jax.nn.softmax(zero_shot.choices(chosen).logits), expected, rtol=1e-4, atol=1e-6)
    whole = lambda update: jnp.sum(zero_shot.uncertainty(chosen._replace(update=update)))  # noqa: E731
    pairs = (anew / update[:, None, None]).reshape(4, -1)
    np.testing.assert_allclose(whole(chosen.update), (update * -(pairs * np.log(pairs)).sum(-1)).sum(), rtol=1e-4)
    np.testing.assert_array_equal(jax.grad(whole)(chosen.update), 0.0)  # it does not pay to choose anew
    step = shift.argmax(-1)
    number = 1 + 24 * step + logits[np.arange(4), step].argmax(-1)
    np.testing.assert_array_equal(zero_shot.likeliest(chosen), np.where(update > 0.5, number, 0))


def test_a_line_names_its_subtask():
    sentences = jnp.asarray(SUBTASKS.sentences)
    np.testing.assert_array_equal(named(SUBTASKS, sentences[None]), np.arange(24)[None])


@pytest.mark.parametrize("kind", ["table", "parts", "lstm", "bag"])
def test_there_is_an_embedding_of_every_subtask(kind):
    subtask = Subtask(SUBTASKS, 6, WORDS, kind)
    table, _ = subtask.init_with_output(jax.random.key(0))
    assert table.shape == (24, 6)
    assert len(np.unique(np.round(table, 4), axis=0)) == 24


def test_analogies_are_those_of_the_table():
    rng = np.random.default_rng(0)
    parts = rng.normal(size=(3, 1, 5)) + rng.normal(size=(1, 8, 5))
    sums = jnp.asarray(parts.reshape(24, 5), jnp.float32)
    how = Analogies(dissimilar_margin=0.0, different_margin=0.0, samples=64)
    found = skills.analogy(keys.key(0), sums, SUBTASKS, how)
    np.testing.assert_allclose(found["similarity_loss"], 0.0, atol=1e-10)
    assert found["dissimilarity_loss"] == 0 and found["difference_loss"] == 0
    other = skills.analogy(keys.key(0), jnp.asarray(rng.normal(size=(24, 5)), jnp.float32), SUBTASKS, Analogies())
    assert other["similarity_loss"] > 1
    gone = skills.analogy(keys.key(0), jnp.zeros((24, 5)), SUBTASKS, Analogies())
    np.testing.assert_allclose([gone["dissimilarity_loss"], gone["difference_loss"]], [1.0, 2.0], rtol=1e-5)


def test_analogies_alone_move_the_embeddings_of_what_is_held_out_to_where_they_belong():
    """The rows that are seen are sums of parts and held fast; the others end on the sums that they complete."""
    rng = np.random.default_rng(0)
    sums = jnp.asarray((rng.normal(size=(3, 1, 4)) + rng.normal(size=(1, 8, 4))).reshape(24, 4), jnp.float32)
    free = jnp.asarray(~SUBTASKS.seen)[:, None]
    how = Analogies(samples=128)

    def step(table: Any, key: Any) -> tuple[Any, None]:
        slope = jax.grad(lambda x: skills.analogy(key, x, SUBTASKS, how)["similarity_loss"])(table)
        return jnp.where(free, table - 0.5 * slope, sums), None

    run = jax.jit(lambda table, key: jax.lax.scan(step, table, keys.split(key, 400))[0])
    found = run(jnp.where(free, 0.0, sums), keys.key(1))
    np.testing.assert_allclose(found, sums, atol=0.02)


@cache
def learner() -> tuple[Any, Any, Any]:
    """An agent of skills without teachers, and its networks."""
    subtask, skill = Subtask(SUBTASKS, 4, WORDS), Skill(6, 8)
    return skills.skills(SUBTASKS, subtask, skill, optimisers.adam(1e-2), None), subtask, skill


@cache
def learned() -> Any:
    """Its update, and that of one without analogies, compiled once."""
    _, subtask, skill = learner()
    bare = skills.skills(SUBTASKS, subtask, skill, optimisers.adam(1e-2), None, analogies=Analogies(weight=0.0))
    return [jax.jit(agent.update) for agent in (learner()[0], bare)]


def window(agent: Any, env: Any, rows: int = 5, lanes: int = 3) -> tuple[Any, Step]:
    """A state, and rows of playing."""
    state, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), lanes))
    learned, carry, played = agent.init(keys.key(1), timestep), agent.begin(lanes), []
    act, step = (jax.jit(f) for f in (lambda *x: agent.act(*x, True), jax.vmap(env.step)))
    actor = agent.actor(learned)
    for i in range(rows):
        action, after, extras = act(actor, jax.random.key(i), carry, timestep)
        played.append(Step(timestep, action, extras, agent.stored(carry)))
        carry, (state, timestep) = after, step(state, action)
    return learned, jax.tree.map(lambda *x: jnp.stack(x), *played)


def test_only_analogies_reach_the_embeddings_of_what_is_not_trained_on():
    state, steps = window(learner()[0], SUBTASKS.single(None))
    rows = {}
    for name, update in zip(("with", "without"), learned(), strict=True):
        after, info = update(state, keys.key(2), Sample(steps))
        rows[name] = np.any(after.params["subtask"]["table"] != state.params["subtask"]["table"], axis=1)
        assert int(after.updates) == 1 and np.isfinite(info.metrics["loss"])
    met = np.unique(named(SUBTASKS, steps.timestep.observation["instruction"][..., 0, :]))
    assert set(np.flatnonzero(rows["without"])) <= set(met) and rows["without"].any()
    assert rows["with"][~SUBTASKS.seen].any()


def test_an_ending_is_learned_where_the_subtask_is_done_and_where_it_is_not():
    agent, *_ = learner()
    state, steps = window(agent, SUBTASKS.single(None))
    logits = []
    for done in (0.0, 1.0):
        told = steps._replace(timestep=steps.timestep._replace(reward=jnp.full_like(steps.timestep.reward, done)))
        _, info = learned()[0](state, keys.key(2), Sample(told))
        logits.append(float(info.metrics["ending_loss"]))
    # -ln p and -ln (1 - p) of the same states: together they are at least 2 ln 2, and more the surer either is.
    assert sum(logits) >= 2 * np.log(2) - 1e-5 and min(logits) > 0


def test_an_agent_practises_in_an_environment_of_its_own():
    """An actor-critic learns a probe within another's start: 1 for one of two actions, by what is observed."""
    import networks

    env = probe()
    network = networks.actor_critic(
        networks.Torso(env.spec.observation, (8,)), networks.CategoricalPolicy(env.spec.action.num), networks.Value()
    )
    agent = a2c(network, optimisers.adam(2e-2))
    after = jax.jit(practised(agent, env, lanes=8, rows=4, updates=150))(keys.key(0))
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(5), 4))
    policy, _ = network.apply(
        after.params, None, (), jax.tree.map(lambda x: x[None], timestep.observation), timestep.first()[None]
    )[0]
    assert (np.max(jax.nn.softmax(policy.logits), -1) > 0.9).all()


def controller(**options: Any) -> Any:
    _, subtask, skill = learner()
    agent, *_ = learner()
    _, timestep = jax.vmap(SUBTASKS.single(None).reset)(jax.random.split(keys.key(0), 2))
    known = agent.init(keys.key(3), timestep).params
    meta = Meta(SUBTASKS, WORDS, hidden=8, size=5, **options)
    return meta, zero_shot.zero_shot(meta, subtask, skill, lambda key: known, optimisers.adam(1e-2))


def test_what_was_stored_is_what_is_unrolled_and_skills_stay_as_they_are():
    _, agent = controller()
    state, steps = window(agent, ENV, rows=8)
    after, info = jax.jit(agent.update)(state, keys.key(2), Sample(steps))
    np.testing.assert_allclose(info.metrics["approx_kl"], 0.0, atol=1e-5)
    assert 0 < info.metrics["updates"] < 1
    jax.tree.map(np.testing.assert_array_equal, after.skills, state.skills)
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (after.params, state.params)), strict=True))


class Fixed:
    """A controller by hand, which steps on in the list and chooses subtask 5, if it is told to choose anew."""

    def __init__(self, update: float):
        self.update = update
        self.begin = Meta(SUBTASKS, WORDS, hidden=2).begin

    def apply(self, params: Any, memory: Memory, *args: Any) -> Chosen:
        batch = memory.subtask.shape[0]
        update = jnp.where(memory.asked, self.update, 1.0)
        shift = jnp.broadcast_to(
            jnp.where(memory.asked[:, None], jnp.array([[0, 0, 9.0]]), jnp.array([[0, 9.0, 0]])), (batch, 3)
        )
        logits = jnp.broadcast_to(50.0 * jax.nn.one_hot(5, 24), (batch, 3, 24))
        return Chosen(update, shift, logits, jnp.zeros(batch), memory.c + 1, memory.h + 1)


@pytest.mark.parametrize(("update", "expected", "line"), [(0.0, 7, 0), (1.0, 5, 1)])
def test_a_subtask_goes_on_until_it_is_decided_anew(update, expected, line):
    agent, subtask, skill = learner()
    _, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), 2))
    known = agent.init(keys.key(3), timestep).params
    fixed: Any = Fixed(update)
    made = zero_shot.zero_shot(fixed, subtask, skill, lambda key: known, optimisers.adam(1e-2))
    actor = zero_shot.Actor({}, known)
    _, carry, _ = made.act(actor, keys.key(0), made.begin(2), timestep, False)
    np.testing.assert_array_equal(carry.subtask, 5)  # an episode opens
    np.testing.assert_array_equal(carry.line, 0)
    going = timestep._replace(step_type=jnp.ones_like(timestep.step_type))
    _, after, extras = made.act(actor, keys.key(0), carry._replace(subtask=jnp.full(2, 7)), going, False)
    np.testing.assert_array_equal(extras["subtask"], expected)
    np.testing.assert_array_equal(after.line, line)
    np.testing.assert_array_equal(after.h, carry.h + line)  # memory stays where nothing is decided


def test_the_command_learns_lists_by_skills_that_it_taught_first():
    config = command.Config(lists=True, hidden=8, teacher_updates=2, teacher_envs=2, skill_updates=2, skill_envs=2)
    agent = command.make(config, ENV.spec, run.Size(2, 1, 64)).agent
    _, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), 2))
    state = jax.eval_shape(agent.init, keys.key(0), timestep)
    assert state.skills["subtask"]["table"].shape == (24, config.embedding_size)
    assert set(state.params) >= {"context", "update", "memory", "shift", "value"}


def test_tasks_without_instructions_are_refused():
    refused = call("zero_shot", "--env", "bellmax/catch", "--env-options", "--eval-env-options")
    assert refused.code == 2 and "--env bellmax/catch: zero_shot needs lists of instructions" in refused.err
