"""MERLIN's order of operations, its two gradients, its windows, and all kinds of observations passing through it."""

import itertools
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import experiments.merlin
import replay
from agents.base import Agent, Sample, Step, TimeStep
from agents.common import optimisers, wrappers
from agents.merlin import merlin
from envs import keys
from envs.base import Box, Discrete, Spec
from envs.tasks.card_pairs import card_pairs
from envs.tasks.pixel_catch import pixel_catch
from experiments.drivers import base, contract, in_graph
from experiments.run import plans
from networks.predictor import MemoryPolicy, Modality, Predictor, modalities
from tests.envs.contract import sample

LANES, Z, ROWS = 4, 6, 5
KINDS = {
    "pixels": Box((8, 16, 3), 0, 255, np.uint8),
    "glyph": Box((5, 5, 1), 0.0, 1.0),
    "speed": Box((3,)),
    "room": Discrete(4),
    "words": Box((6,), 0, 255, np.uint8),
    "flags": Box((2, 2), 0.0, 1.0),
}
SPECS = {"cards": card_pairs(4).spec, "kinds": Spec("kinds", KINDS, Discrete(4))}


def terms(env: str) -> list[str]:
    spec = SPECS[env]
    return [m.name for m in modalities(spec.observation, spec.action)] + ["return", "kl"]


@cache
def agent(env: str = "cards", **overrides: Any) -> Agent:
    spec = SPECS[env]
    seen, actions = modalities(spec.observation, spec.action), spec.action.num
    sgd = lambda: optimisers.chain(optax.sgd(1.0))  # noqa: E731
    inner = merlin(
        Predictor(seen, actions, Z, (7,), 2, (8,), width=8),
        MemoryPolicy(actions, Z, (7, 5), 1, 8),
        optimisers.apart(predictor=sgd(), policy=sgd()),
        **{"scales": dict.fromkeys(terms(env), 1.0), "rows": ROWS, **overrides},
    )
    return wrappers.recall(inner, spec.action)


@cache
def acted(length: int = 8) -> tuple[Any, Step]:
    """An agent's first state and rows `[length + 1, LANES]` that it acted out."""
    who, task = agent(), card_pairs(4)
    k_init, k_env, k_act = jax.random.split(keys.key(1), 3)

    @jax.jit
    def run() -> Any:
        env_state, timestep = jax.vmap(task.reset)(jax.random.split(k_env, LANES))
        state = who.init(k_init, timestep)

        def body(carry: Any, key: Any) -> tuple[Any, Step]:
            env_state, timestep, live = carry
            row, live = base.act_row(who, who.actor(state), live, key, timestep)
            return (*jax.vmap(task.step)(env_state, row.action), live), row

        start = (env_state, timestep, base.begin(who, LANES))
        return state, jax.lax.scan(body, start, jax.random.split(k_act, length + 1))[1]

    return run()


@cache
def compiled(env: str) -> Any:
    def run(scale: Any, state: Any, steps: Step) -> Any:
        scales = dict.fromkeys(terms(env), scale)
        return agent.__wrapped__(env, scales=scales).update(state, keys.key(0), Sample(steps))

    return jax.jit(run)


def update(steps: Step, state: Any = None, scale: float = 1.0, env: str = "cards") -> tuple[Any, dict[str, Any]]:
    state, info = compiled(env)(jnp.float32(scale), acted()[0] if state is None else state, steps)
    return state.params, dict(info.metrics)


def same(a: Any, b: Any) -> list[bool]:
    return [bool((x == y).all()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)]


def test_neither_gradient_reaches_the_other_module() -> None:
    before, steps = acted()[0].params, acted()[1]
    silent, _ = update(steps, scale=0.0)
    assert all(same(silent["predictor"], before["predictor"]))  # the policy's gradient alone: exactly 0 there
    assert sum(not s for s in same(silent["policy"], before["policy"])) > 5
    loud, _ = update(steps, scale=3.0)
    assert all(same(loud["policy"], silent["policy"]))  # and whatever the bound weighs, the policy moves alike
    assert not any(same(loud["predictor"], before["predictor"]))


def test_reads_come_before_the_write_of_the_step() -> None:
    carry = jax.tree.map(np.asarray, acted()[1].carry)
    assert not carry.read[1].any() and not carry.policy_read[1].any()  # after one step: the memory was still empty
    assert (carry.memory.writes[:7, 0] == np.arange(7)).all()
    assert (carry.memory.rows[1, :, 0, :Z] != 0).all() and not carry.memory.rows[1, :, 1:].any()
    assert not carry.memory.rows[1, ..., Z:].any()
    assert carry.read[2].any() and carry.policy_read[2].any()
    assert carry.memory.rows[2, :, 0, Z:].any()  # the first row hears of the second


def step(carry: Any, **overrides: Any) -> Any:
    """The carry after a step from the third row on."""
    who = agent(**overrides)
    row = jax.tree.map(lambda x: x[2], acted()[1].timestep)
    return jax.jit(lambda carry: who.act(acted()[0].params, keys.key(0), carry, row, True)[1].inner)(carry)


def test_what_is_left_out_without_write_and_without_memory() -> None:
    fresh = agent().begin(LANES)
    assert not step(fresh, write=False).memory.rows.any() and step(fresh).memory.rows.any()
    assert not step(fresh, retroactive=False).memory.rows[..., Z:].any()
    dirty = fresh._replace(inner=jax.tree.map(lambda x: x + jnp.ones_like(x), fresh.inner))
    same_anyhow = same(step(fresh, remember=False), step(dirty, remember=False))
    assert all(same_anyhow) and not all(same(step(fresh), step(dirty)))


def test_windows_carry_on_where_the_last_one_stopped() -> None:
    steps = acted()[1]
    halves = [jax.tree.map(lambda x, i=i: x[i : i + 5], steps) for i in (0, 4)]
    whole, parts = update(steps)[1], [update(half)[1] for half in halves]
    for name in ("kl", "observation", "last_action", "last_reward"):  # over all rows, LAST ones too
        np.testing.assert_allclose(whole[name], (parts[0][name] + parts[1][name]) / 2, rtol=1e-5)
    dirty = jax.tree.map(lambda x: x + jnp.ones_like(x), halves[0].carry)
    cleaned = halves[0]._replace(carry=dirty)
    np.testing.assert_allclose(update(cleaned)[1]["loss"], parts[0]["loss"], rtol=1e-5)  # it begins with FIRST


def test_the_divergence_is_0_where_the_posterior_adds_nothing() -> None:
    state, steps = acted()
    last = state.params["predictor"]["posterior"]["layers_1"]
    nothing = {**state.params["predictor"]["posterior"], "layers_1": jax.tree.map(jnp.zeros_like, last)}
    params = {**state.params, "predictor": {**state.params["predictor"], "posterior": nothing}}
    assert update(steps, state._replace(params=params))[1]["kl"] == 0
    assert update(steps)[1]["kl"] > 0.01


@pytest.mark.slow
def test_every_kind_of_observation() -> None:
    spec = SPECS["kinds"]
    kinds = {m.name: m.kind for m in modalities(spec.observation, spec.action)}
    assert kinds == {
        "pixels": "image", "glyph": "image", "speed": "vector", "room": "category", "words": "text",
        "flags": "binary", "last_action": "category", "last_reward": "vector",
    }  # fmt: skip
    rng = np.random.default_rng(0)
    rows = lambda x: jnp.broadcast_to(x[None], (3, *x.shape))  # noqa: E731
    observation = {name: sample(space, (3, LANES)) for name, space in KINDS.items()}
    timestep = TimeStep(jnp.ones((3, LANES), jnp.int8), jnp.ones((3, LANES)), jnp.ones((3, LANES)), observation)
    start = agent("kinds").begin(LANES)
    noise = jnp.float32(rng.normal(size=(3, LANES, Z)))
    extras = {"noise": noise, "last_action": rows(start.action)}
    steps = Step(timestep, jnp.zeros((3, LANES), jnp.int32), extras, jax.tree.map(rows, start.inner))
    state = jax.jit(agent("kinds").init)(keys.key(0), jax.tree.map(lambda x: x[0], timestep))
    params, metrics = update(steps, state, env="kinds")
    wrong = {name: metrics[name] for name in kinds if not (np.isfinite(metrics[name]) and metrics[name] > 0)}
    assert not wrong
    for part in ("code", *(f"decoders_{name}" for name in kinds)):
        assert not all(same(params["predictor"][part], state.params["predictor"][part])), part


def test_a_target_is_what_a_decoder_should_give() -> None:
    pixels = Modality("x", "image", (8, 8, 1))
    np.testing.assert_allclose(pixels.target(jnp.full((1, 8, 8, 1), 51, jnp.uint8)), 0.2, rtol=1e-6)
    assert Modality("x", "category", (), 3).target(jnp.array([2])).tolist() == [[0, 0, 1]]


def test_a_scale_that_is_missing_is_refused() -> None:
    with pytest.raises(ValueError, match="last_reward"):
        agent.__wrapped__(scales={"observation": 1.0})


@cache
def run_on_images() -> tuple[list[Any], dict[str, Any]]:
    """Parameters before and after each of four updates of a run on images, and the last metrics."""
    config = experiments.merlin.Config(
        cnn="small", latent=4, lstm=(5,), rows=6, keys=1, hidden=(6,), width=8, unroll=4, policy_delay=0.5
    )
    task, lanes = pixel_catch(8), 2
    parts = experiments.merlin.make(config, task.spec, plans.Size(lanes, 1, 4 * 4 * lanes))
    loop = in_graph.loop(task, *parts, num_envs=lanes, iterations=1)
    step, run = jax.jit(loop.step), jax.jit(loop.init)(keys.key(0))
    params, metrics = [run.agent.params], {}
    for _ in range(4):
        run, metrics = step(run)
        params.append(run.agent.params)
    return params, metrics


def test_images_pass_through_convolutions_and_back() -> None:
    params, metrics = run_on_images()
    assert all(np.isfinite(metrics[name]) for name in ("loss", "observation", "kl", "return", "entropy"))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(params[-1]))
    for part, convolutions in (("code", 1), ("decoders_observation", 3)):
        before, after = (
            {
                jax.tree_util.keystr(path): x
                for path, x in jax.tree_util.tree_leaves_with_path(at["predictor"][part])
                if "Conv_" in jax.tree_util.keystr(path)
            }
            for at in params[:2]
        )
        moved = {name: (before[name] != after[name]).any() for name in before if "kernel" in name}
        assert len(moved) == convolutions and all(moved.values()), moved


def test_the_policy_waits_for_its_part_of_the_run() -> None:
    params, _ = run_on_images()
    moved = [[not all(same(a[part], b[part])) for a, b in itertools.pairwise(params)] for part in params[0]]
    assert dict(zip(params[0], moved, strict=True)) == {"predictor": [True] * 4, "policy": [False, False, True, True]}


@pytest.mark.slow
def test_an_update_of_the_papers_size_fits() -> None:
    lanes, unroll, task = 16, 20, card_pairs(4)
    seen, actions = modalities(task.spec.observation), task.spec.action.num
    optimiser = optimisers.apart(predictor=optimisers.adam(1e-3, 10.0), policy=optimisers.adam(1e-3, 10.0))
    names = [*(m.name for m in seen), "return", "kl"]
    who = merlin(
        Predictor(seen, actions), MemoryPolicy(actions), optimiser, scales=dict.fromkeys(names, 1.0), rows=1350
    )
    storage = replay.on_policy(unroll)
    loop = in_graph.loop(task, who, storage, contract.Schedule(unroll), num_envs=lanes, iterations=1)
    run = jax.eval_shape(loop.init, keys.key(0))
    drawn = jax.eval_shape(storage.sample, run.replay, run.key)
    needed = jax.jit(who.update).lower(run.agent, run.key, drawn).compile().memory_analysis()
    print(needed)
    assert needed.temp_size_in_bytes + needed.argument_size_in_bytes < 1e9


def test_a_run_keeps_one_memory_for_a_window_and_not_one_for_every_row() -> None:
    lanes, rows, unroll = 16, 1350, 20
    loop = in_graph.loop(
        card_pairs(4),
        agent(rows=rows),
        replay.on_policy(unroll),
        contract.Schedule(unroll),
        num_envs=lanes,
        iterations=1,
    )
    run = jax.eval_shape(loop.init, keys.key(0))
    numbers = sum(x.size for x in jax.tree.leaves(run.replay))
    assert lanes * rows * 2 * Z < numbers < 3 * lanes * rows * 2 * Z
    assert run.replay.timestep.reward.shape == (unroll + 1, lanes)
