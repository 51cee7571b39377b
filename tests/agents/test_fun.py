"""FuN's wiring: which gradient reaches what, what is told and paid across windows, random goals, and switches."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents import fun, losses
from agents.base import FIRST, Sample, Step
from agents.common import optimisers
from envs import keys
from envs.tasks.key_maze import key_maze
from experiments.drivers import base
from experiments.studies import chain_goals, delayed_copy

C, LANES, D = 3, 4, 6
ENV = key_maze(2, 2, time_limit=7)
MODULE = networks.Feudal(networks.Torso(ENV.spec.observation, (8,), cnn=None), 4, 5, D, 3, dilation=2)
OPTIONS: dict[str, Any] = {
    "horizon": C, "alpha": 0.5, "discount": 0.9, "manager_discount": 0.95, "lambda_": 1.0, "intrinsic": "return",
    "end_to_end": False,
}  # fmt: skip
WORKER, MANAGER = {"policy_loss", "value_loss", "entropy"}, {"manager_loss", "manager_value_loss"}


def agent(**options: Any) -> Any:
    settings = {**OPTIONS, "epsilon": 0.3, **options}
    return fun.fun(MODULE, optimisers.adam(1e-2, 1.0), **settings)


def rows_of(made: Any, steps: int) -> tuple[Any, Step]:
    """An agent's state, and what it played, all rows with their carry."""
    key = keys.key(0)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(key, LANES))
    state = made.init(key, timestep)

    def body(carry: Any, key: Any) -> Any:
        env_state, timestep, live = carry
        row, live = base.act_row(made, made.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, base.begin(made, LANES))
    roll = jax.jit(lambda s, k: jax.lax.scan(body, s, k)[1])
    return state, jax.tree.map(np.asarray, roll(start, jax.random.split(key, steps)))


STATE, ROWS = rows_of(agent(), 20)


def window(start: int, end: int) -> Step:
    return replay.base.opening(jax.tree.map(lambda x: x[start:end], ROWS))


def gradients(**options: Any) -> dict[str, dict[str, float]]:
    """Of each loss, the largest gradient in each part of the parameters."""
    terms = fun.objective(MODULE, **{**OPTIONS, **options})
    slopes = jax.jit(jax.jacrev(lambda params, steps: terms(params, steps)[0]))
    # Rewards that differ, since the task hardly ever pays.
    paid = np.asarray(jax.random.normal(keys.key(1), ROWS.timestep.reward[:12].shape))
    steps = window(0, 12)
    steps = steps._replace(timestep=steps.timestep._replace(reward=paid))
    found = slopes(STATE.params, steps)
    largest = lambda tree: max(float(jnp.max(jnp.abs(x))) for x in jax.tree.leaves(tree))  # noqa: E731
    return {
        name: {
            "torso": largest(each["torso"]), "space": largest(each["manager"]["space"]),
            "manager": largest({k: v for k, v in each["manager"].items() if k != "space"}),
            "worker": largest(each["worker"]),
        }
        for name, each in found.items()
    }  # fmt: skip


def test_no_gradient_crosses_the_levels():
    """The worker's losses leave the manager alone, the manager's gradient the worker, perception and the space."""
    found = gradients()
    for name in WORKER:
        assert found[name]["manager"] == found[name]["space"] == 0.0, name
        assert found[name]["worker"] > 0 and found[name]["torso"] > 0, name
    told = found["manager_loss"]
    assert told["worker"] == told["torso"] == told["space"] == 0.0 and told["manager"] > 0
    value = found["manager_value_loss"]
    assert value["worker"] == 0.0 and min(value["torso"], value["space"], value["manager"]) > 0
    assert found["intrinsic_reward"] == dict.fromkeys(told, 0.0)


def test_end_to_end_goals_get_the_worker_s_gradient():
    """The ablation: without the bars the audit fails."""
    found = gradients(end_to_end=True)
    assert found["policy_loss"]["manager"] > 0
    assert found["policy_loss"]["space"] == 0.0, "goals are a function of states that they do not shape"


@cache
def unrolled(start: int, end: int) -> Any:
    """What is made of the rows, and the carry after."""

    def of(steps: Step) -> Any:
        carry = jax.tree.map(lambda x: x[0], steps.carry)
        return fun.unrolled(MODULE, STATE.params, carry, steps.timestep, lambda goal: steps.extras["goal"])

    return jax.jit(of)(window(start, end))


def test_a_window_from_its_carry_gives_what_the_whole_gives():
    """Goals and states of the rows before the window count in it, and those of the episode before do not."""
    whole, _ = unrolled(0, 20)
    part, after = unrolled(9, 15)
    for name in ("state", "goal", "manager_value", "value", "intrinsic"):
        np.testing.assert_allclose(getattr(part, name), getattr(whole, name)[9:15], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(part.policy.logits, whole.policy.logits[9:15], atol=1e-5)
    stored = jax.tree.map(lambda x: x[15], ROWS.carry)
    for ours, theirs in zip(jax.tree.leaves(after), jax.tree.leaves(stored), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    assert not np.any(np.asarray(whole.intrinsic)[ROWS.timestep.step_type == FIRST]), "nothing was followed yet"
    assert np.any(np.asarray(whole.intrinsic) != 0)


def test_the_policy_knows_goals_by_their_sum_alone():
    """Told nothing, the worker acts at random: φ has no bias."""
    nothing = jnp.zeros((1, LANES, D))
    told, _ = MODULE.apply(
        {"params": STATE.params}, MODULE.begin(LANES)[0], ROWS.timestep.observation[:1], jnp.ones((1, LANES), bool),
        method="manage",
    )  # fmt: skip
    (policy, _), _ = MODULE.apply(
        {"params": STATE.params}, MODULE.begin(LANES)[1], told.features, nothing, jnp.ones((1, LANES), bool),
        method="work",
    )  # fmt: skip
    np.testing.assert_array_equal(policy.logits, np.zeros((1, LANES, 4)))
    np.testing.assert_allclose(jnp.linalg.norm(told.goal, axis=-1), 1.0, rtol=1e-5)


def test_random_goals_are_of_length_1_and_as_frequent_as_asked():
    goal = jnp.zeros((4_000, D)).at[:, 0].set(1.0)
    drawn = fun.random_directions(keys.key(0), goal, 0.3)
    changed = np.any(np.asarray(drawn != goal), axis=-1)
    assert 0.26 < changed.mean() < 0.34
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=-1), 1.0, rtol=1e-5)
    assert np.abs(np.asarray(drawn)[changed].mean(0)).max() < 0.06
    whole, _ = unrolled(0, 20)
    told, was = np.asarray(whole.goal), np.asarray(ROWS.extras["goal"])
    assert 0.1 < np.any(np.abs(told - was) > 1e-4, axis=-1).mean() < 0.6, "while exploring only, and by the extras"


def test_the_worker_is_paid_for_following_and_the_manager_is_not():
    """With α = 0 the value targets are the task's; the one-step form leaves the value's targets alone."""
    steps = window(0, 12)

    def told(**options: Any) -> dict[str, float]:
        terms = fun.objective(MODULE, **{**OPTIONS, **options})
        means = jax.jit(lambda p, s: terms(p, s)[0])(STATE.params, steps)
        return {name: float(x) for name, x in means.items()}

    whole, none, step = told(), told(alpha=0.0), told(intrinsic="step")
    assert whole["manager_loss"] == none["manager_loss"] == step["manager_loss"]
    assert whole["manager_value_loss"] == none["manager_value_loss"]
    assert whole["value_loss"] != none["value_loss"] and step["value_loss"] == none["value_loss"]
    assert len({round(each["policy_loss"], 7) for each in (whole, none, step)}) == 3


def test_frozen_workers_stay_and_managers_learn():
    made = agent(worker_cost=0.0)
    steps = window(0, 12)
    paid = np.asarray(jax.random.normal(keys.key(1), steps.timestep.reward.shape))
    sample = Sample(steps._replace(timestep=steps.timestep._replace(reward=paid)))
    after, info = jax.jit(made.update)(STATE, keys.key(0), sample)
    same = jax.tree.map(lambda x, y: bool(np.array_equal(x, y)), after.params, STATE.params)
    assert all(jax.tree.leaves(same["worker"])) and not any(jax.tree.leaves(same["manager"]["goal"]))
    assert np.isfinite([float(x) for x in info.metrics.values()]).all()


def test_the_studies_are_what_they_say():
    """Symbols are asked for after the delay; steps of the chain pay by their direction."""
    shown, told = delayed_copy.sequences(keys.key(0), 5, 6)
    assert shown.shape == (6 + delayed_copy.SHOWN, 5, delayed_copy.SYMBOLS + 1)
    np.testing.assert_array_equal(np.argmax(shown[: delayed_copy.SHOWN], -1), told)
    assert not np.any(shown[delayed_copy.SHOWN : -delayed_copy.SHOWN])
    np.testing.assert_array_equal(shown[-delayed_copy.SHOWN :, :, -1], np.ones_like(told))
    env = chain_goals.chain(2.0)
    state, before = env.reset(keys.key(3))
    _, right = env.step(state, 1)
    _, left = env.step(state, 0)
    assert float(right.reward) == 2.0 and float(left.reward) == -2.0
    assert float(left.observation[0]) < float(before.observation[0]) < float(right.observation[0])


def test_the_command_refuses(tmp_path):
    from tests.experiments.running import call

    outcome = call("fun", "--env", "bellmax/pendulum", "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.startswith("error: --env bellmax/pendulum: FuN needs discrete actions")
    words = ("--agent.clip-rewards", "--agent.normalise-rewards", "--out", tmp_path / "run")
    assert "--agent.clip-rewards, --agent.normalise-rewards: one or the other" in call("fun", *words).err


def test_the_manager_s_loss_is_of_its_own_goals_and_advantages():
    """Of goals as the manager told them, not as they were replaced, and of the task's rewards under V^M and γ_M."""
    steps, (made, _) = window(0, 20), unrolled(0, 20)
    kind = steps.timestep.step_type

    @jax.jit
    def expected(made: Any) -> Any:
        of_lane = (jax.vmap(f, axes, 1) for f, axes in ((losses.gae, (1, 1, None, 1, 1)), (directed, 1)))
        gae, each = of_lane
        advantage = gae(steps.timestep.reward[1:], 0.95 * steps.timestep.discount[1:], 1.0, made.manager_value, kind)
        return each(made.state, made.goal[:-1], advantage, kind)

    def directed(s: Any, g: Any, advantage: Any, kind: Any) -> Any:
        return losses.transition_policy_gradient(s, g, advantage, kind, C)

    terms = fun.objective(MODULE, **OPTIONS)
    found = jax.jit(lambda steps: terms(STATE.params, steps)[0])(steps)
    np.testing.assert_allclose(found["manager_loss"], np.sum(expected(made)) / np.sum(kind[1:] != FIRST), rtol=1e-4)
