"""What the flags of value-based experiments build: Rainbow's ablations, R2D2's windows, what DRQN begins with."""

from importlib import import_module
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import agents.dqn
import envs
from agents.base import Step, TimeStep
from envs import keys
from experiments.drivers import base, in_graph
from experiments.parts import learning
from experiments.run import flags, plans
from replay.prioritised import State as Prioritised

SMALL = ["--agent.hidden", "8", "8", "--agent.batch-size", "4", "--agent.buffer-size", "400"]


def parsed(experiment: str, *words: str) -> Any:
    return flags.parse(import_module(f"experiments.{experiment}").Flags, list(words), f"experiments.{experiment}").agent


def parts(experiment: str, config: Any, env: str = "bellmax/catch", lanes: int = 4) -> Any:
    module = import_module(f"experiments.{experiment}")
    spec, size = envs.make(env).spec, plans.Size(lanes, 1, 10_000)
    module.check(config, spec, size)
    return module.make(config, spec, size)


def shapes(experiment: str, config: Any, env: str = "bellmax/catch") -> base.RunState:
    """Of a run that has begun."""
    loop = in_graph.loop(envs.make(env), *parts(experiment, config, env), num_envs=4, iterations=1)
    return jax.eval_shape(loop.init, keys.key(0))


def described(monkeypatch: pytest.MonkeyPatch, *words: str) -> dict[str, Any]:
    """What Rainbow with these flags is made of."""
    seen: dict[str, Any] = {}
    make = agents.dqn.dqn
    with monkeypatch.context() as patch:
        patch.setattr(agents.dqn, "dqn", lambda *args, **settings: seen.update(settings) or make(*args, **settings))
        run = shapes("rainbow", parsed("rainbow", *SMALL, *words))
    names = {jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(run.agent.params)}
    rows = run.replay.ring.rows if isinstance(run.replay, Prioritised) else run.replay.rows
    head = run.agent.params["head"]
    return {
        "double": seen["double"],
        "dueling": any("'advantage'" in name for name in names),
        "prioritised": isinstance(run.replay, Prioritised),
        "distributional": 51 * 3 in {x.shape[-1] for x in jax.tree.leaves(head)},
        "noisy": all(name.replace("kernel", "sigma_kernel") in names for name in names if name.endswith("['kernel']")),
        "explores": float(seen["epsilon"](0)),
        "streams": sum("MLP" in name and "kernel" in name and "sigma" not in name for name in names),
        "rows": rows.timestep.reward.shape,
    }


RAINBOW = {"double": True, "dueling": True, "prioritised": True, "distributional": True, "noisy": True, "explores": 0.0}
ABLATIONS = {
    "double": ["--agent.no-double"],
    "dueling": ["--agent.no-dueling"],
    "prioritised": ["--agent.priorities", "none"],
    "distributional": ["--agent.objective", "expected"],
    "noisy": ["--agent.noisy", "none", "--agent.epsilon-start", "1", "--agent.epsilon-end", "0.02"],
}


@pytest.mark.parametrize("without", [None, *ABLATIONS])
def test_each_ablation_takes_one_part_out_of_rainbow(without: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    found = described(monkeypatch, *ABLATIONS.get(without or "", []))
    expected = RAINBOW if without is None else RAINBOW | {without: False}
    assert {name: found[name] for name in expected} == expected | {"explores": 1.0 if without == "noisy" else 0.0}
    assert found["streams"] == 1 + (2 if found["dueling"] else 1), "each stream has a layer of its own"


def test_the_sixth_is_n_step() -> None:
    for words, length in (([], 3), (["--agent.n-step", "1"], 1)):
        storage = parts("rainbow", parsed("rainbow", *SMALL, *words)).replay
        assert storage.minimum == length + 1


def test_r2d2_learns_from_windows_with_the_burn_in_on_top() -> None:
    config = parsed("r2d2", *SMALL, "--agent.burn-in", "3", "--agent.length", "5", "--agent.stride", "2")
    built, run = parts("r2d2", config), shapes("r2d2", config)
    sample = jax.eval_shape(built.replay.sample, run.replay, keys.key(0))
    assert sample.steps.timestep.reward.shape == (1 + 3 + 5, 4)
    assert run.replay.tree[0].size >= 400 // 2
    # Importance weights are not annealed, and the target is copied.
    assert (config.beta, config.target_rate) == (0.6, 1.0)


@pytest.mark.parametrize("start", ["stored", "zero"])
@pytest.mark.parametrize("experiment", ["r2d2", "drqn"])
def test_memory_is_stored_where_windows_begin_with_it(experiment: str, start: str) -> None:
    run = shapes(experiment, parsed(experiment, *SMALL, "--agent.start", start), "bellmax/memory-chain")
    rows = run.replay.ring.rows if isinstance(run.replay, Prioritised) else run.replay.rows
    assert bool(jax.tree.leaves(rows.carry)) == (start == "stored")


@pytest.mark.parametrize("sampling", ["sequential", "random"])
def test_sequential_windows_begin_with_episodes(sampling: str) -> None:
    words = ["--agent.sampling", sampling, "--agent.length", "3", "--agent.memory", "none"]
    storage = parts("drqn", parsed("drqn", *SMALL, *words)).replay
    step_type = jnp.broadcast_to(jnp.array([0, 1, 1, 2] * 4, jnp.int8)[:, None], (16, 4))
    timestep = TimeStep(step_type, jnp.zeros((16, 4)), jnp.ones((16, 4)), jnp.zeros((16, 4, 10, 5)))
    steps = Step(timestep, jnp.zeros((16, 4), jnp.int32), {})

    @jax.jit
    def drawn(key: Any) -> Any:
        state = storage.add(storage.init(jax.tree.map(lambda x: x[0], steps)), steps)
        return storage.sample(state, key).steps.timestep.step_type

    windows = np.asarray(jax.vmap(drawn)(jax.random.split(keys.key(0), 8)))
    assert (windows[:, 0] == 0).all() == (sampling == "sequential")
    assert (windows[:, 1:] == 1).any()


def test_pqn_without_layer_normalisation_has_none() -> None:
    for words, has in (([], True), (["--agent.no-layer-norm"], False)):
        config = parsed("pqn", "--agent.hidden", "8", "8", "--agent.unroll", "16", "--agent.minibatches", "4", *words)
        params = jax.eval_shape(
            lambda key, config=config: parts("pqn", config).agent.init(key, TimeStep(*zeros())), keys.key(0)
        ).params
        assert ("LayerNorm" in str(jax.tree_util.tree_structure(params))) == has


def zeros() -> tuple[Any, ...]:
    """A row of catch in four lanes."""
    return jnp.zeros(4, jnp.int8), jnp.zeros(4), jnp.ones(4), jnp.zeros((4, 10, 5))


@pytest.mark.parametrize("words", [["dqn"], ["drqn"], ["drqn", "--agent.start", "stored", "--agent.recall"]])
def test_held_actions_go_with_what_is_learned_from(words: list[str]) -> None:
    """All of acting and learning is traced: what is held must not get in the way of what is remembered."""
    experiment, *rest = words
    sizes = SMALL[3:] if experiment == "dqn" else ["--agent.length", "4", *SMALL[3:]]
    for hold in ("1", "7"):
        built = parts(experiment, parsed(experiment, *sizes, "--agent.hold", hold, *rest))
        loop = in_graph.loop(envs.make("bellmax/catch"), *built, num_envs=4, iterations=1)
        run, _ = jax.eval_shape(lambda key, loop=loop: loop.step(loop.init(key)), keys.key(0))
        assert any("left" in jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(run)) == (
            hold == "7"
        )


def test_sequential_windows_are_drawn_by_priority_where_alpha_says_so() -> None:
    words = ["--agent.length", "2", *SMALL[3:], "--agent.sampling", "sequential"]
    env = envs.make("bellmax/catch", rows=2)
    for alpha, spread in (("0", False), ("1", True)):
        config = parsed("drqn", *words, "--agent.alpha", alpha)
        built = import_module("experiments.drqn").make(config, env.spec, plans.Size(4, 1, 10_000))
        loop = in_graph.loop(env, *built, num_envs=4, iterations=8)
        leaves = jax.jit(lambda key, loop=loop: loop.step(loop.init(key))[0].replay.tree[0])(keys.key(0))
        held = np.asarray(leaves)[np.asarray(leaves) > 0]
        assert (held.std() > 0) == spread


def test_each_reward_is_clipped_and_not_their_sum() -> None:
    """Three rewards of 5 are learned from as three of 1."""
    lanes, config = 2, parsed("dqn", *SMALL, "--agent.n-step", "3", "--agent.clip-rewards")
    replay = parts("dqn", config, lanes=lanes).replay
    kind = jnp.ones((4, lanes), jnp.int8)
    timestep = TimeStep(kind, jnp.full((4, lanes), 5.0), jnp.ones((4, lanes)), jnp.zeros((4, lanes, 10, 5)))
    rows = Step(timestep, jnp.zeros((4, lanes), jnp.int32), ())
    state = replay.add(replay.init(jax.tree.map(lambda x: x[0], rows)), rows)
    reward = replay.sample(state, keys.key(0)).steps.timestep.reward[1]
    np.testing.assert_allclose(reward, 1 + config.discount + config.discount**2, rtol=1e-6)


def test_a_schedule_over_nothing_is_at_its_end() -> None:
    """ε that decays over no steps, also while nothing has been learned."""
    schedule = learning.linear(1.0, 0.25, 0.0)
    np.testing.assert_allclose([schedule(jnp.int32(n)) for n in (0, 5)], 0.25)
