"""What a task's spaces decide: which observations are standardised, and in which units a policy acts."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Agent, Info, Sample, Step, TimeStep
from agents.common import wrappers
from envs import keys
from envs.base import MID, Box, Discrete, Environment, MultiDiscrete, Spec, episodic
from envs.tasks.four_rooms import four_rooms
from experiments import a2c, acer, acktr, ddpg, dqn, dyna, her, impala, merlin, planning, ppo, q_prop, sac, trpo, vpg
from experiments.drivers import in_graph
from experiments.run import plans
from tests.agents.learning import learned

LANES = 5
SIZE = plans.Size(LANES, 1, 10_000)


def shown() -> Agent:
    """An agent that tells what it sees, as the extra "seen", and learns nothing."""
    return Agent(
        init=lambda key, timestep: (),
        actor=lambda state: state,
        begin=lambda batch: (),
        act=lambda actor, key, carry, timestep, explore: (
            jnp.zeros(timestep.reward.shape, jnp.int32),
            carry,
            {"seen": timestep.observation},
        ),
        update=lambda state, key, sample: (state, Info({})),
    )


def arrived(observation: Any, *lead: int) -> TimeStep:
    return TimeStep(jnp.full(lead, MID, jnp.int8), jnp.zeros(lead), jnp.ones(lead), observation)


def seen_after(agent: Agent, rows: Any, now: Any) -> Any:
    """What `shown` inside of the agent sees of observations `now[N]` after an update on `rows[T, N]`."""
    lanes = jax.tree.leaves(now)[0].shape[0]
    length = jax.tree.leaves(rows)[0].shape[0]
    state = agent.init(keys.key(0), arrived(now, lanes))
    steps = Step(arrived(rows, length, lanes), jnp.zeros((length, lanes), jnp.int32))
    state, _ = agent.update(state, keys.key(1), Sample(steps))
    return agent.act(agent.actor(state), keys.key(2), agent.begin(lanes), arrived(now, lanes), False)[2]["seen"]


def test_what_is_standardised_is_said_by_the_space() -> None:
    spaces = {
        "bytes": Box((2,), 0, 255, np.uint8),
        "count": Box((), 0, 1000, np.int32),
        "image": Box((3, 3, 1), 0, 255, np.uint8),
        "number": Discrete(7),
        "vector": Box((2,)),
    }
    rng = np.random.default_rng(0)
    rows = {
        name: jnp.asarray(rng.integers(0, 7, (60, 50, *space.shape)).astype(space.dtype))
        for name, space in spaces.items()
    }
    now = jax.tree.map(lambda x: x[0], rows)
    seen = seen_after(wrappers.normalise_observations(shown(), spaces), rows, now)
    for name in ("image", "number"):
        assert seen[name].dtype == spaces[name].dtype
        np.testing.assert_array_equal(seen[name], now[name])
    for name in ("bytes", "count", "vector"):
        np.testing.assert_allclose(seen[name], (now[name].astype(jnp.float32) - 3) / 2, atol=0.05)


def counter(dtype: Any) -> Environment:
    """A vector of whole numbers that the second action raises; it pays their sum."""
    space = Box((2,), np.zeros(2), np.array([200, 250]), dtype)
    spec = Spec("counter", space, Discrete(2), 5)
    return episodic(
        lambda key: jnp.zeros(2, dtype),
        lambda key, x, action: (x + (10 * action).astype(dtype), jnp.float32(action), jnp.bool_(False)),
        lambda x: x,
        spec,
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
@pytest.mark.parametrize("module", [dyna, planning], ids=["dyna", "planning"])
def test_models_learn_and_imagine_whole_numbers_as_floats(module: Any, dtype: Any) -> None:
    env = counter(dtype)
    sizes: dict[str, Any] = {"buffer_size": 1000, "batch_size": 10, "unroll": 5}
    if module is planning:
        sizes |= {"reward": "learned", "planner": "shooting", "population": 8, "horizon": 2}
    parts = module.make(
        module.Config(model="learned", **sizes) if module is planning else module.Config(**sizes), env.spec, SIZE
    )
    scale = np.array([200, 250]) if dtype == np.uint8 else 1
    low = jnp.asarray([[[200, 20]], [[100, 10]]], dtype)  # it falls, where bytes would wrap
    rows = jnp.broadcast_to(low, (2, 60, 2))
    steps = Step(arrived(rows, 2, 60), jnp.zeros((2, 60), jnp.int32))
    state = parts.agent.init(keys.key(0), arrived(rows[0], 60))
    state, info = jax.jit(parts.agent.update)(state, keys.key(1), Sample(steps))
    model = state.model if module is dyna else state.params
    np.testing.assert_allclose(model.targets.mean[:2], np.array([-100, -10]) / scale, rtol=1e-5)
    np.testing.assert_allclose(model.inputs.mean[:2], np.array([200, 20]) / scale, rtol=1e-5)
    assert all(np.isfinite(value).all() for value in info.metrics.values())
    loop = in_graph.loop(env, *parts, num_envs=LANES, iterations=1)
    jax.eval_shape(loop.step, jax.eval_shape(loop.init, keys.key(0)))


def five_rooms() -> Environment:
    """One step in one of five rooms pays the room's number."""
    spec = Spec("five-rooms", Discrete(5), Discrete(2), 1)
    return episodic(
        lambda key: jax.random.randint(key, (), 0, 5),
        lambda key, room, action: (room, room.astype(jnp.float32), jnp.bool_(True)),
        lambda room: room,
        spec,
    )


def test_a2c_values_numbers_apart_however_it_normalises() -> None:
    env = five_rooms()
    config = a2c.Config(unroll=8, hidden=(16,), normalise_observations=True)
    parts = a2c.make(config, env.spec, SIZE)
    loop = in_graph.loop(env, *parts, num_envs=LANES, iterations=1)
    run, _ = loop.step(loop.init(keys.key(0)))
    everywhere = arrived(jnp.arange(5), 5)
    *_, extras = parts.agent.act(loop.actor(run), keys.key(1), parts.agent.begin(5), everywhere, True)
    assert len(np.unique(np.round(extras["value"], 6))) == 5


def test_her_sees_the_cells_of_four_rooms(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(her, "learner", lambda config, spec, scale: shown())
    spec = four_rooms().spec
    agent = her.make(her.Config(), spec, SIZE).agent
    cells = spec.observation["observation"].num
    rows = {name: jax.random.randint(keys.key(i), (40, LANES), 0, cells) for i, name in enumerate(spec.observation)}
    now = {name: jnp.arange(LANES) for name in rows}
    for seen in seen_after(agent, rows, now).values():
        one_hot = jax.nn.one_hot(seen, cells)
        np.testing.assert_array_equal(one_hot.sum(-1), 1.0)
        np.testing.assert_array_equal(jnp.argmax(one_hot, -1), np.arange(LANES))


def valve(low: float, high: float, best: float) -> Environment:
    """One step that costs the squared distance of the action from the best one, in units of half the box's width."""
    spec = Spec("valve", Box((1,)), Box((1,), low, high), 1)
    half = (high - low) / 2 if np.isfinite(high - low) else 1.0
    return episodic(
        lambda key: jnp.ones(1),
        lambda key, state, action: (state, -jnp.square((action[0] - best) / half), jnp.bool_(True)),
        lambda state: state,
        spec,
    )


def acting(make: Any, config: Any, env: Environment) -> np.ndarray:
    """Greedy and then explored actions of a fresh agent, `[1 + N]`."""
    agent = make(config, env.spec, SIZE).agent
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), LANES))
    actor = agent.actor(agent.init(keys.key(1), timestep))
    greedy, drawn = (
        agent.act(actor, keys.key(2), agent.begin(LANES), timestep, explore)[0][:, 0] for explore in (False, True)
    )
    return np.concatenate([greedy[:1], drawn])


@pytest.mark.parametrize(
    ("make", "config"),
    [(ppo.make, ppo.Config(minibatches=1)), (q_prop.make, q_prop.Config(unroll=8, q_minibatches=1))],
    ids=["ppo", "q_prop"],
)
def test_a_gaussian_starts_in_the_middle_of_the_box(make: Any, config: Any) -> None:
    greedy, *drawn = acting(make, config, valve(50.0, 100.0, 90.0))
    assert abs(greedy - 75) < 2 and 5 < np.std(drawn) < 75, (greedy, drawn)
    unit = acting(make, config, valve(-1.0, 1.0, 0.5))
    np.testing.assert_allclose((np.array([greedy, *drawn]) - 75) / 25, unit, atol=1e-5)
    np.testing.assert_array_equal(unit, acting(make, config, valve(-np.inf, np.inf, 0.5)))


def test_ppo_learns_the_best_action_of_any_box() -> None:
    config = ppo.Config(unroll=16, minibatches=1, learning_rate=0.02, hidden=(8,))
    for low, high, best in ((50.0, 100.0, 90.0), (-1.0, 1.0, 0.6)):
        env = valve(low, high, best)
        first, last = (learned(env, ppo.make(config, env.spec, SIZE), count, seeds=2) for count in (1, 25))
        assert (last > first + 0.05).all() and (last > -0.01).all(), (first, last)


def test_an_agent_of_the_unit_box_is_left_alone() -> None:
    agent = shown()
    for box in (Box((2,), -1.0, 1.0), Box((2,)), Box((2,), np.float32([-np.inf, -1]), np.float32([0, 1]))):
        assert wrappers.centred_actions(agent, box) is agent


def test_centred_actions_are_learned_from_as_they_were_drawn() -> None:
    box = Box((3,), np.array([50.0, -np.inf, -2.0]), np.array([100.0, 3.0, 2.0]))
    drawn = jnp.float32([[[0.5, 7.0, -3.0]]])  # beyond the bounds too
    told: list[Any] = []
    inner = shown()._replace(
        act=lambda actor, key, carry, timestep, explore: (drawn[0], carry, {}),
        update=lambda state, key, sample: told.append(sample.steps.action) or (state, Info({})),  # type: ignore[func-returns-value]
    )
    agent = wrappers.centred_actions(inner, box)
    action, *_ = agent.act((), keys.key(0), (), arrived(jnp.zeros(1), 1), True)
    np.testing.assert_allclose(action, [[87.5, 7.0, -6.0]])
    agent.update((), keys.key(0), Sample(Step(arrived(jnp.zeros((1, 1)), 1, 1), action[None])))
    chex.assert_trees_all_close(told[0], drawn)


@pytest.mark.parametrize("shape", [(), (2, 2), (0,)])
def test_actions_that_are_no_vector_are_refused(shape: tuple[int, ...]) -> None:
    spec = Spec("valve", Box((1,)), Box(shape, -1.0, 1.0))
    for module, told in ((ppo, "allowed: discrete ones or a vector"), (sac, "needs a vector of bounded actions")):
        with pytest.raises(ValueError, match=rf"--env valve: .*{told}"):
            module.check(module.Config(), spec, SIZE)


@pytest.mark.parametrize(("low", "high"), [(5.0, np.inf), (-np.inf, -1.0), (2.0, 2.0)])
def test_bounds_that_a_policy_cannot_start_in_are_refused(low: float, high: float) -> None:
    spec = Spec("valve", Box((1,)), Box((1,), low, high))
    with pytest.raises(ValueError, match=r"--env valve: actions between .* needs low < high, and 0 within open bounds"):
        ppo.check(ppo.Config(minibatches=1), spec, SIZE)


def locks() -> Environment:
    """One step that pays for each of two numbers that is the right one."""
    spec = Spec("locks", Box((1,)), MultiDiscrete((2, 4)), 1)
    return episodic(
        lambda key: jnp.ones(1),
        lambda key, state, action: (state, jnp.sum(action == jnp.array([1, 2]), dtype=jnp.float32), jnp.bool_(True)),
        lambda state: state,
        spec,
    )


@pytest.mark.parametrize("module", [ppo, a2c, trpo, acktr, impala, vpg], ids=lambda module: module.__name__[12:])
def test_actor_critics_learn_several_numbers_at_once(module: Any) -> None:
    env = locks()
    options: dict[str, Any] = {"unroll": 32, "hidden": (8,)}
    options |= {"minibatches": 1} if module is ppo else {}
    options |= {} if module in (acktr, trpo) else {"learning_rate": 0.03}
    parts = module.make(module.Config(**options), env.spec, SIZE)
    assert (learned(env, parts, 60, seeds=2) > 1.9).all()


@pytest.mark.parametrize("module", [dqn, ddpg, sac, planning, acer, q_prop], ids=lambda module: module.__name__[12:])
def test_other_agents_refuse_several_numbers_at_once(module: Any) -> None:
    with pytest.raises(ValueError, match=r"--env locks: .* MultiDiscrete\(nums=\(2, 4\)\)"):
        config = module.Config(model="learned", reward="learned") if module is planning else module.Config()
        module.check(config, locks().spec, SIZE)


@pytest.mark.parametrize(
    ("cnn", "side", "told"),
    [
        (
            "nature",
            35,
            "--agent.cnn nature: needs images with sides of 36 .* is 35; allowed: auto, impala, small$",
        ),
        ("small", 2, "--agent.cnn small: needs images with sides of 3 or more, .* is 2; allowed: auto, impala$"),
    ],
)
def test_images_too_small_for_the_convolutions_are_answered_with_those_that_fit(cnn: Any, side: int, told: str) -> None:
    image = Box((side, 40, 3), 0, 255, np.uint8)
    spec = Spec("stamp", {"image": image, "number": Discrete(3)}, Discrete(2))
    for module in (ppo, dqn, merlin):
        with pytest.raises(ValueError, match=told):
            module.check(module.Config(cnn=cnn), spec, SIZE)
    ppo.make(ppo.Config(cnn="none"), spec, SIZE)
    ppo.make(ppo.Config(cnn="impala"), spec, SIZE)
