"""R2D2's parts against closed forms and plain numpy, what breaks without them, and how stale replayed memory is."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents import losses
from agents.base import FIRST, Agent, Sample, Step, TimeStep
from agents.common import optimisers, recurrence, wrappers
from agents.r2d2 import acting_priority, lane_epsilons, r2d2, staleness, td_errors
from envs import keys
from envs.base import Box, Discrete
from experiments.drivers import devices
from tests.losses.test_transforms import reference

A, LANES, BURN_IN, LENGTH, N = 3, 4, 4, 6, 3
ROWS = BURN_IN + LENGTH + 1
SPACE = Box((2,))
# How each lane's window runs: within an episode; over a termination in the burn-in; over a truncation and over an
# interruption in the part that is learned from.
ENDS = [(None, None), (2, "terminated"), (6, "truncated"), (7, "interrupted")]


@cache
def network(core: str = "lstm") -> networks.Network:
    cores = {"lstm": networks.LSTM(5), "gru": networks.GRU(5), "none": None}
    torso = networks.Torso(SPACE, (6,), activation=jnp.tanh)
    return networks.q_network(torso, networks.QValues(A), cores[core])


@cache
def parameters(core: str, seed: int) -> Any:
    """Random ones, of which two seeds are as different as can be."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(network(core).init, keys.key(0), jnp.zeros((LANES, 2)))
    return jax.tree.map(lambda s: jnp.float32(rng.normal(0, 0.7, s.shape)), shapes)


def agent(core: str = "lstm", **overrides: Any) -> Agent:
    settings = {"discount": 0.9, "n_step": N, "burn_in": BURN_IN, "target_rate": 0.0, **overrides}
    return r2d2(network(core), optimisers.chain(optax.sgd(1.0)), **settings)


def history(rows: int = ROWS, seed: int = 0) -> TimeStep:
    """Random rows `[rows, LANES]` whose episodes end as in ENDS."""
    rng = np.random.default_rng(seed)
    step_type, discount = np.ones((rows, LANES), np.int8), np.ones((rows, LANES), np.float32)
    for lane, (row, kind) in enumerate(ENDS):
        if row is not None:
            step_type[row : row + 2, lane] = [1 if kind == "interrupted" else 2, FIRST]
            discount[row, lane] = kind != "terminated"
    reward = np.where(step_type == FIRST, 0, rng.normal(0, 3, (rows, LANES))).astype(np.float32)
    return TimeStep(step_type, reward, discount, rng.normal(size=(rows, LANES, 2)).astype(np.float32))


@cache
def acted(core: str = "lstm", seed: int = 0, from_the_start: bool = False) -> Step:
    """Rows that the agent with parameters of that seed acted on, from memory that is not fresh unless told so."""
    timestep = history()
    if from_the_start:
        timestep.step_type[0] = FIRST
    rng = np.random.default_rng(1)
    carry = jax.tree.map(lambda x: jnp.float32(rng.normal(0, 0.5, x.shape)), network(core).begin(LANES))
    state = agent(core).init(keys.key(0), jax.tree.map(lambda x: x[0], timestep))
    actor = agent(core).actor(state._replace(params=parameters(core, seed)))

    def step(carry: Any, row: tuple) -> tuple[Any, Step]:
        action, after, extras = agent(core).act(actor, row[0], carry, row[1], True)
        return after, Step(row[1], action, extras, carry)

    return jax.jit(lambda c, x: jax.lax.scan(step, c, x))(carry, (jax.random.split(keys.key(2), ROWS), timestep))[1]


def q_of(seed: int, steps: Step, core: str = "lstm") -> np.ndarray:
    """Values of a whole window, row by row: no scan over time, no burn-in."""
    carry = jax.tree.map(lambda x: x[0], steps.carry)
    step = jax.jit(lambda carry, row: recurrence.step(network(core), parameters(core, seed), keys.key(0), carry, row))
    values = []
    for t in range(steps.action.shape[0]):
        q, carry = step(carry, jax.tree.map(lambda x, t=t: x[t], steps.timestep))
        values.append(q)
    return np.stack(values)


@cache
def compiled_errors(core: str, burn_in: int) -> Any:
    settings = {"discount": 0.9, "n_step": N, "burn_in": burn_in, "tx_pair": losses.SIGNED_HYPERBOLIC_PAIR}
    return jax.jit(lambda *args: td_errors(network(core), *args, **settings)[0])


def errors(steps: Step, burn_in: int = BURN_IN, core: str = "lstm") -> jax.Array:
    """With parameters 0 online and 1 as the target."""
    return compiled_errors(core, burn_in)(parameters(core, 0), parameters(core, 1), keys.key(0), steps)


@cache
def compiled_unroll(core: str) -> Any:
    return jax.jit(lambda params, steps: recurrence.unroll(network(core), params, keys.key(0), steps))


def expected_errors(steps: Step, burn_in: int, core: str = "lstm") -> np.ndarray:
    """`[LENGTH, LANES]` in float64, from values row by row."""
    q, target_q = (np.float64(q_of(seed, steps, core))[burn_in:] for seed in (0, 1))
    kind, r, gamma, _ = (np.asarray(x)[burn_in:] for x in steps.timestep)
    action, best = np.asarray(steps.action)[burn_in:-1], q[1:].argmax(-1)
    return np.stack(
        [
            reference(
                q[:-1, b], action[:, b], target_q[1:, b], best[:, b], r[1:, b], 0.9 * gamma[1:, b], kind[:, b], N,
                "rescaled",
            )
            for b in range(LANES)
        ],
        1,
    )  # fmt: skip


@pytest.mark.parametrize(("core", "burn_in"), [("lstm", BURN_IN), ("lstm", 0), ("gru", BURN_IN), ("none", BURN_IN)])
def test_errors_equal_numpy(core: str, burn_in: int) -> None:
    """Each network burns in with its own parameters: with the other's memory the values differ."""
    steps = acted(core)
    np.testing.assert_allclose(
        errors(steps, burn_in=burn_in, core=core), expected_errors(steps, burn_in, core), rtol=1e-4, atol=1e-4
    )


def test_transitions_between_episodes_do_not_count() -> None:
    steps = acted()
    td = np.asarray(errors(steps))
    kind = np.asarray(steps.timestep.step_type)[BURN_IN + 1 :]
    assert (kind == FIRST).any()
    np.testing.assert_array_equal(td == 0, kind == FIRST)
    # What arrives with a FIRST row, and what was done before it, changes nothing.
    first = steps.timestep.step_type == FIRST
    reward = jnp.where(first, 100.0, steps.timestep.reward)
    action = jnp.where(jnp.roll(first, -1, 0), (steps.action + 1) % A, steps.action)
    changed = steps._replace(timestep=steps.timestep._replace(reward=reward), action=action)
    np.testing.assert_array_equal(errors(changed), td)


def test_no_gradient_flows_through_the_burn_in() -> None:
    steps = acted()

    def loss(params: Any, seen: Any, carry: Any, burn_in: int) -> jax.Array:
        timestep = steps.timestep._replace(observation=seen)
        window = steps._replace(timestep=timestep, carry=carry)
        q = recurrence.unroll(network(), params, keys.key(0), window, burn_in)
        return jnp.sum(jnp.square(q[BURN_IN - burn_in :]))

    arguments = (parameters("lstm", 0), steps.timestep.observation, steps.carry)
    gradients = jax.jit(jax.grad(loss, (0, 1, 2)), static_argnums=3)
    with_burn_in, without = gradients(*arguments, BURN_IN), gradients(*arguments, 0)
    np.testing.assert_allclose(loss(*arguments, BURN_IN), loss(*arguments, 0), rtol=1e-5)  # one and the same function
    np.testing.assert_array_equal(with_burn_in[1][:BURN_IN], 0)
    assert not any(x.any() for x in jax.tree.leaves(with_burn_in[2]))
    np.testing.assert_allclose(with_burn_in[1][BURN_IN:], without[1][BURN_IN:], rtol=1e-4, atol=1e-5)
    # The ablation: were the gradient not stopped, it would reach what only the burn-in sees, and the parameters by it.
    assert np.abs(without[1][:BURN_IN]).max() > 1e-3
    assert max(np.abs(x[0]).max() for x in jax.tree.leaves(without[2])) > 1e-3
    gaps = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), with_burn_in[0], without[0])
    assert gaps["core"]["recurrent"] > 1e-3


@pytest.mark.parametrize("core", ["lstm", "gru"])
def test_stored_memory_is_what_replaying_from_the_start_of_the_episode_gives(core: str) -> None:
    steps = acted(core, from_the_start=True)
    unroll = compiled_unroll(core)
    whole, other = (unroll(parameters(core, seed), steps) for seed in (0, 1))
    for row in (1, 4):
        window = jax.tree.map(lambda x, row=row: x[row:], steps)
        np.testing.assert_allclose(unroll(parameters(core, 0), window), whole[row:], rtol=1e-5, atol=1e-5)
        # Not so by other parameters than those that stored it.
        assert np.abs(unroll(parameters(core, 1), window) - other[row:])[:, 0].max() > 0.01


@cache
def update() -> Any:
    """`(η, weight[N], steps) -> (the gradient that was followed, Info)`, compiled once."""

    def fn(eta: jax.Array, weight: jax.Array, steps: Step) -> tuple[Any, Any]:
        it = agent(eta=eta)
        state = it.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
        state = state._replace(params=parameters("lstm", 0), target=parameters("lstm", 1))
        after, info = it.update(state, keys.key(0), Sample(steps, weight=weight))
        return jax.tree.map(lambda a, b: a - b, state.params, after.params), info

    return jax.jit(fn)


def updated(weight: Any = (1.0,) * LANES, steps: Step | None = None, eta: float = 0.9) -> tuple[Any, Any]:
    return update()(eta, jnp.float32(weight), acted() if steps is None else steps)


def test_loss_sums_over_time_and_averages_over_weighted_windows() -> None:
    td = expected_errors(acted(), BURN_IN)
    each = (0.5 * td**2).sum(0)
    np.testing.assert_allclose(updated()[1].metrics["loss"], each.mean(), rtol=1e-4)
    weight = np.array([0.5, 0.0, 1.0, 0.25])
    step, info = updated(weight)
    np.testing.assert_allclose(info.metrics["loss"], (weight * each).mean(), rtol=1e-4)
    # The gradient is linear in the weights: the sum of those of windows alone.
    alone = [updated(np.arange(LANES) == i)[0] for i in range(LANES)]
    total = jax.tree.map(lambda *xs: sum(w * x for w, x in zip(weight, xs, strict=True)), *alone)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-4), step, total)


@pytest.mark.parametrize("eta", [0.0, 0.9, 1.0])
def test_priorities_mix_the_largest_and_the_mean_error(eta: float) -> None:
    td = np.abs(expected_errors(acted(), BURN_IN))
    count = (np.asarray(acted().timestep.step_type)[BURN_IN + 1 :] != FIRST).sum(0)
    expected = eta * td.max(0) + (1 - eta) * td.sum(0) / count
    np.testing.assert_allclose(updated(eta=eta)[1].priority, expected, rtol=1e-4)


def test_acting_tells_the_priority_that_learning_would_find() -> None:
    """While nothing was learned since: with the parameters that were acted with in both networks."""
    eta, it = 0.7, agent(values=True)
    steps = acted()
    actor = it.actor(
        it.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))._replace(params=parameters("lstm", 0))
    )
    carry = jax.tree.map(lambda x: x[0], steps.carry)

    def step(carry: Any, row: tuple) -> tuple[Any, Any]:
        action, after, extras = it.act(actor, row[0], carry, row[1], True)
        return after, (action, extras)

    rows = (jax.random.split(keys.key(2), ROWS), steps.timestep)
    action, extras = jax.jit(lambda c, x: jax.lax.scan(step, c, x))(carry, rows)[1]
    np.testing.assert_array_equal(action, steps.action)
    told = acting_priority(discount=0.9, n_step=N, burn_in=BURN_IN, eta=eta)
    bare = steps._replace(extras=extras, carry=(), timestep=steps.timestep._replace(observation=()))
    params = parameters("lstm", 0)
    td = np.abs(compiled_errors("lstm", BURN_IN)(params, params, keys.key(0), steps))
    count = (np.asarray(steps.timestep.step_type)[BURN_IN + 1 :] != FIRST).sum(0)
    np.testing.assert_allclose(told(bare), eta * td.max(0) + (1 - eta) * td.sum(0) / count, rtol=1e-4)
    clipped = acting_priority(discount=0.9, n_step=N, burn_in=BURN_IN, eta=eta, rewrite=lambda r: jnp.clip(r, -1, 1))
    reward = np.clip(steps.timestep.reward, -1, 1)
    np.testing.assert_array_equal(clipped(bare), told(bare._replace(timestep=bare.timestep._replace(reward=reward))))


def test_a_window_without_a_transition_has_priority_0() -> None:
    steps = acted()
    nothing = steps._replace(timestep=steps.timestep._replace(step_type=jnp.zeros_like(steps.timestep.step_type)))
    step, info = updated(steps=nothing)
    assert not info.priority.any() and info.metrics["loss"] == 0
    assert all(np.isfinite(x).all() and not x.any() for x in jax.tree.leaves(step))


def test_lanes_explore_as_on_apexs_ladder() -> None:
    rates = np.asarray(lane_epsilons(jnp.float32(0.4), 7.0, 256))
    np.testing.assert_allclose(rates, 0.4 ** np.linspace(1, 8, 256), rtol=1e-5)
    np.testing.assert_allclose([rates[0], rates[-1], np.median(rates)], [0.4, 6.55e-4, 0.0162], rtol=2e-3)
    np.testing.assert_allclose(lane_epsilons(jnp.float32(0.4), 0.0, 3), 0.4)
    np.testing.assert_allclose(lane_epsilons(jnp.float32(0.4), 7.0, 1), 0.4)
    both = devices.mapped(devices.layout(1, share=2), lambda e: lane_epsilons(e, 7.0, 128))
    halves = both(devices.place(devices.layout(1, share=2), jnp.full(1, 0.4)))
    np.testing.assert_allclose(np.asarray(halves)[:, 0].reshape(-1), rates, rtol=1e-5)


def test_lanes_act_with_their_own_rate() -> None:
    it, lanes = agent(epsilon=0.5, ladder=9.0), 8
    rows = TimeStep(*(jnp.zeros((lanes, *x.shape[2:]), x.dtype) for x in history()))
    actor = it.actor(it.init(keys.key(0), rows))
    act = jax.jit(jax.vmap(lambda k: it.act(actor, k, it.begin(lanes), rows, True)[0]))
    actions = np.asarray(act(jax.random.split(keys.key(1), 4000)))
    greedy = it.act(actor, keys.key(0), it.begin(lanes), rows, False)[0]
    rates = 0.5 ** (1 + 9 * np.arange(lanes) / (lanes - 1)) * (A - 1) / A
    np.testing.assert_allclose((actions != np.asarray(greedy)).mean(0), rates, atol=0.02)


def heard(observation: Any) -> Agent:
    """An agent that stores what it observed, and reports it."""
    begin = lambda batch: ()  # noqa: E731
    act = lambda actor, key, carry, t, explore: (actor, (), {"heard": t.observation})  # noqa: E731
    update = lambda state, key, sample: (state, sample.steps)  # noqa: E731
    return Agent(lambda key, t: t.observation, lambda state: state, begin, act, update)


@pytest.mark.parametrize("space", [Discrete(A), Box((2,), -1.0, 1.0)])
def test_recall_tells_the_last_action_and_reward_alike_to_acting_and_learning(space: Any) -> None:
    it, timestep = wrappers.recall(heard(space), space), history()
    rng = np.random.default_rng(0)
    shape = (ROWS, LANES, *space.shape)
    actions = rng.integers(0, A, shape, np.int32) if isinstance(space, Discrete) else rng.normal(size=shape)
    actions = actions.astype(space.dtype)
    carry, rows = it.begin(LANES), []
    for t in range(ROWS):
        row = jax.tree.map(lambda x, t=t: jnp.asarray(x[t]), timestep)
        action, carry, extras = it.act(jnp.asarray(actions[t]), keys.key(0), carry, row, True)
        rows.append(Step(row, action, extras))
    steps = jax.tree.map(lambda *x: jnp.stack(x), *rows)
    acted_on = steps.extras["heard"]
    np.testing.assert_array_equal(acted_on["observation"], timestep.observation)
    np.testing.assert_array_equal(acted_on["last_reward"][..., 0], timestep.reward)
    done = np.eye(A)[actions] if isinstance(space, Discrete) else actions
    told = np.where((timestep.step_type == FIRST)[1:, :, None], 0, done[:-1])
    np.testing.assert_allclose(acted_on["last_action"][1:], told)
    assert (timestep.step_type == FIRST).any() and told.any()
    window = jax.tree.map(lambda x: x[2:6], steps)
    _, learned_from = it.update((), keys.key(0), Sample(window))
    jax.tree.map(np.testing.assert_array_equal, learned_from.timestep.observation, window.extras["heard"])
    assert "last_action" not in learned_from.extras
    spaces = wrappers.recalled(SPACE, space)
    assert {name: x.shape[2:] for name, x in acted_on.items()} == {name: s.shape for name, s in spaces.items()}
    assert wrappers.recalled({"x": SPACE}, space).keys() == {"x", "last_action", "last_reward"}


def test_forgetful_agents_store_no_memory_and_learn_from_zeros() -> None:
    steps = acted()
    zeros = steps._replace(carry=jax.tree.map(jnp.zeros_like, steps.carry))
    expected, stored = (updated(steps=s)[1].metrics["loss"] for s in (zeros, steps))
    assert abs(stored - expected) > 0.01
    it = recurrence.forgetful(agent())
    state = it.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    state = state._replace(params=parameters("lstm", 0), target=parameters("lstm", 1))
    actual = jax.jit(it.update)(state, keys.key(0), Sample(steps._replace(extras={})))[1].metrics["loss"]
    np.testing.assert_allclose(actual, expected, rtol=1e-6)
    row = jax.tree.map(lambda x: x[0], steps.timestep)
    _, carry, extras = it.act(it.actor(state), keys.key(0), it.begin(LANES), row, True)
    assert extras == {} and any(x.any() for x in jax.tree.leaves(carry))


def test_staleness_is_0_where_parameters_are_the_same_and_memory_was_stored() -> None:
    measure = jax.jit(lambda params, steps: staleness(network(), params, keys.key(0), steps, 5, 3))
    steps = jax.tree.map(lambda x: x[:, :1], acted(from_the_start=True))  # the lane that is one episode
    fresh, stale = (measure(parameters("lstm", seed), steps) for seed in (0, 1))
    assert set(fresh) == {"stored", "stored, burn-in", "zero", "zero, burn-in"}
    for name, value in fresh.items():
        assert value.shape == (2, 1)
        assert (np.asarray(value) < 1e-5).all() == name.startswith("stored"), name
    q, q_hat = q_of(1, steps), q_of(1, jax.tree.map(lambda x: x[5:], steps))
    expected = np.linalg.norm(q_hat[[0, -1]] - q[[5, -1]], axis=-1) / np.abs(q_hat.max())
    np.testing.assert_allclose(stale["stored"], expected, rtol=1e-3)
    q_hat = q_of(1, jax.tree.map(lambda x: x[2:], steps))[3:]
    expected = np.linalg.norm(q_hat[[0, -1]] - q[[5, -1]], axis=-1) / np.abs(q_hat.max())
    np.testing.assert_allclose(stale["stored, burn-in"], expected, rtol=1e-3)
