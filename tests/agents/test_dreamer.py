"""Dreamer: what is acted with is what is learned from, gradients go where they should, and planners take its model."""

from functools import cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import experiments.dreamer
import networks
from agents.base import FIRST, LAST, MID, Agent, Sample, Step, TimeStep
from agents.common import laprop, optimisers
from agents.dqn import dqn
from agents.dreamer import Behaviour, dreamer
from agents.dyna import dyna, imagined
from agents.world import dreams, latent_models, models, planning, scalars, tree_search
from envs.base import Box, Discrete
from experiments.run import plans
from networks.predictor import modalities
from networks.world import RSSM, Head, Kind, Latent, Policy, World
from tests.quick import QUICK

LANES, ROWS = 3, 9
SEEN = Box((2,))
ACTIONS = {"discrete": Discrete(3), "continuous": Box((1,), -1.0, 1.0)}
quick = partial(jax.jit, compiler_options=QUICK)


def world(kind: str = "categorical") -> World:
    latent = Kind("categorical", 2, 3) if kind == "categorical" else Kind("gaussian", 4)
    return World(modalities(SEEN), RSSM(latent, 8, 8, "block", 2, 1), 21, 8, 1)


@cache
def agent(actions: str = "discrete", kind: str = "categorical", remember: bool = True, **behaviour: Any) -> Agent:
    how = dreams.Modelling(scalars.two_hot(21), 0.9)
    policy: Any = ("categorical", 3) if actions == "discrete" else ("bounded", 1)
    return dreamer(
        world(kind), Policy(*policy, 8, 1), Head(21, 8, 1, scale=0.0), optimisers.chain(optax.sgd(0.1)),
        actions=ACTIONS[actions], modelling=how, values=how.rewards, sampled=False, remember=remember,
        behaviour=Behaviour(**{"horizon": 3, **behaviour}),
    )  # fmt: skip


def timesteps() -> TimeStep:
    """Rows `[ROWS, LANES]`: an episode that ends and another that begins in lane 0, one that is cut in lane 1."""
    kinds = np.full((ROWS, LANES), MID, np.int8)
    kinds[0], kinds[4, 0], kinds[5, 0], kinds[3, 1] = FIRST, LAST, FIRST, FIRST
    rng = np.random.default_rng(0)
    discount = np.where(kinds == LAST, 0.0, 1.0)
    observation = rng.normal(size=(ROWS, LANES, 2))
    return TimeStep(
        jnp.asarray(kinds), *(jnp.float32(x) for x in (rng.normal(size=(ROWS, LANES)), discount, observation))
    )


@cache
def acted(**arguments: Any) -> tuple[Any, Step]:
    """A state and what the agent did with it."""
    it, rows = agent(**arguments), timesteps()
    state = quick(it.init)(jax.random.key(0), jax.tree.map(lambda x: x[0], rows))

    def step(carry: Any, row: tuple) -> tuple[Any, Step]:
        key, timestep = row
        action, carry, extras = it.act(it.actor(state), key, carry, timestep, True)
        return carry, Step(timestep, action, extras)

    keys = jax.random.split(jax.random.key(1), ROWS)
    return state, quick(lambda: jax.lax.scan(step, it.begin(LANES), (keys, rows)))()[1]


@cache
def updated(**arguments: Any) -> tuple[Any, Any]:
    state, steps = acted(**arguments)
    return quick(agent(**arguments).update)(state, jax.random.key(2), Sample(steps))


@pytest.mark.parametrize("kind", ["categorical", "gaussian"])
@pytest.mark.parametrize("actions", ["discrete", "continuous"])
def test_a_window_becomes_what_was_acted_with(kind: str, actions: str) -> None:
    """Before parameters change, the states that learning infers are those that acting had, across episodes too."""
    _, steps = acted(kind=kind, actions=actions)
    _, info = updated(kind=kind, actions=actions)
    assert info.rewrite["h"].shape == (ROWS, LANES, 8)
    for name in ("h", "z"):
        np.testing.assert_allclose(info.rewrite[name], steps.extras[name], atol=1e-5)


def test_the_context_decides_until_an_episode_opens() -> None:
    state, steps = acted()
    other = steps._replace(extras=steps.extras | {"h": steps.extras["h"].at[0].add(1.0)})
    _, info = quick(agent().update)(state, jax.random.key(2), Sample(other))
    changed = np.abs(info.rewrite["h"] - steps.extras["h"]).max(-1) > 1e-4
    assert changed[:3].all() and changed[4, 0] and changed[:, 2].all()
    assert not changed[5:, 0].any() and not changed[3:, 1].any()


def test_without_recurrence_a_state_is_of_its_row_alone() -> None:
    _, steps = acted(remember=False)
    assert np.ptp(steps.extras["h"], axis=(0, 1)).max() == 0
    assert np.ptp(acted()[1].extras["h"], axis=(0, 1)).max() > 0


@pytest.mark.parametrize("gradient", ["reinforce", "dynamics"])
def test_the_actor_does_not_bend_the_world(gradient: str) -> None:
    shared = {"gradient": gradient, "replay_cost": 0.0}
    some, others = (updated(**shared, entropy_cost=cost)[0].params for cost in (0.0, 1.0))
    same = jax.tree.map(lambda a, b: bool(jnp.abs(a - b).max() < 1e-6), some, others)
    assert all(jax.tree.leaves([same["world"], same["critic"]]))
    assert not all(jax.tree.leaves(same["actor"]))


def test_replayed_values_reach_the_world_and_imagined_ones_do_not() -> None:
    rng, before = np.random.default_rng(1), acted()[0]
    noisy = jax.tree.map(lambda x: x + jnp.float32(0.1 * rng.normal(size=x.shape)), before.params["critic"])
    given = before._replace(params=before.params | {"critic": noisy})
    after = [
        quick(agent(replay_cost=cost).update)(given, jax.random.key(2), Sample(acted()[1]))[0].params["world"]
        for cost in (0.0, 1.0)
    ]
    assert not all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), *after)))
    plain = quick(agent(replay_cost=0.0).update)(before, jax.random.key(2), Sample(acted()[1]))[0].params["world"]
    for a, b in zip(jax.tree.leaves(after[0]), jax.tree.leaves(plain), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_slow_critic_follows_and_the_range_of_returns_is_kept() -> None:
    state, _ = acted()
    after, info = updated()
    for old, new, slow in zip(*map(jax.tree.leaves, (state.slow, after.params["critic"], after.slow)), strict=True):
        np.testing.assert_allclose(slow, 0.98 * old + 0.02 * new, atol=1e-6)
    assert after.updates == 1 and after.range.shape == (2,)
    np.testing.assert_allclose(info.metrics["return_range"], after.range[1] - after.range[0], rtol=1e-5)


def test_copied_critics_move_at_their_period() -> None:
    arguments: Any = {"bootstrap": "slow", "target_period": 2, "target_rate": 1.0}
    state, steps = acted(**arguments)
    update = quick(agent(**arguments).update)
    once, _ = update(state, jax.random.key(2), Sample(steps))
    twice, _ = update(once, jax.random.key(3), Sample(steps))
    same = lambda a, b: all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), a, b)))  # noqa: E731
    assert same(once.slow, state.slow) and same(twice.slow, twice.params["critic"])


def test_imagination_follows_the_policy_and_the_prior() -> None:
    module, params = world(), acted()[0].params["world"]
    begun = Latent(jnp.ones((4, 8)), jnp.zeros((4, 6)))
    chosen: Any = lambda features: networks.Categorical(jnp.broadcast_to(jnp.array([0.0, 9.0, 0.0]), (4, 3)))  # noqa: E731
    states, taken = dreams.imagine(module, params, None, begun, chosen, ACTIONS["discrete"], 2)
    assert states.h.shape == (3, 4, 8) and (taken == 1).all()
    done = jax.nn.one_hot(taken[0], 3)
    after = dreams.call(module, params, begun, done, None, method="imagine")
    np.testing.assert_allclose(states.h[1], after.h, atol=1e-6)
    prior = dreams.call(module.rssm, params["rssm"], after.h, method="prior")
    np.testing.assert_allclose(states.z[1], prior.sample(None), atol=1e-6)


@pytest.mark.parametrize(("ratio", "lanes", "batch", "length"), [(64, 1, 16, 32), (512, 4, 16, 64), (7, 3, 5, 9)])
def test_each_step_is_replayed_exactly_as_often_as_the_flag_says(
    ratio: int, lanes: int, batch: int, length: int
) -> None:
    config = experiments.dreamer.Config(replay_ratio=ratio, batch_size=batch, length=length)
    made = experiments.dreamer.schedule(config, plans.Size(lanes, 1, 1000))
    assert made.updates * batch * length == ratio * made.unroll * lanes


def test_laprop_is_its_formula() -> None:
    rng = np.random.default_rng(0)
    params = {"a": rng.normal(size=(3, 2)), "b": np.zeros(2)}
    optimiser = laprop.laprop(0.1, clip=0.3)
    given = jax.tree.map(jnp.float32, params)
    state = optimiser.init(given)
    nu, mu = ({name: np.zeros_like(x) for name, x in params.items()} for _ in range(2))
    for t in range(1, 4):
        gradients = {name: 5 * rng.normal(size=x.shape) for name, x in params.items()}
        steps, state = optimiser.update(jax.tree.map(jnp.float32, gradients), state, given)
        for name, g in gradients.items():
            limit = 0.3 * max(1e-3, np.linalg.norm(params[name]))
            g = g / max(1.0, np.linalg.norm(g) / limit)
            nu[name] = 0.999 * nu[name] + 0.001 * g**2
            mu[name] = 0.9 * mu[name] + 0.1 * g / (np.sqrt(nu[name] / (1 - 0.999**t)) + 1e-20)
            np.testing.assert_allclose(steps[name], -0.1 * mu[name] / (1 - 0.9**t), rtol=1e-4)


def paying(actions: Any, seed: int = 0, number: int = 128) -> Step:
    """Transitions `[2, number]` of a task that pays for the last of its actions, and ends where it was not taken."""
    rng = np.random.default_rng(seed)
    if isinstance(actions, Discrete):
        action = rng.integers(0, actions.num, (2, number)).astype(np.int32)
        reward = (action[0] == actions.num - 1).astype(np.float32)
    else:
        action = rng.uniform(-1, 1, (2, number, 1)).astype(np.float32)
        reward = np.float32(-np.abs(action[0, :, 0] - 0.5))
    kinds = np.array([[MID] * number] * 2, np.int8)
    discount = np.ones((2, number), np.float32)
    if isinstance(actions, Discrete):
        kinds[1], discount[1] = np.where(reward > 0, MID, LAST), reward
    timestep = TimeStep(kinds, np.stack([0 * reward, reward]), discount, np.zeros((2, number, 2), np.float32))
    return jax.tree.map(jnp.asarray, Step(timestep, jnp.asarray(action)))


@cache
def learned(actions: str) -> tuple[models.Learner, Any]:
    """A model of that task, after 200 updates."""
    space = ACTIONS[actions]
    how = dreams.Modelling(scalars.two_hot(21), 1.0)
    learner = latent_models.learner(world(), space, optimisers.adam(1e-2), how, sampled=False)
    steps = paying(space)
    state = quick(learner.init)(jax.random.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    keys = jax.random.split(jax.random.key(1), 200)
    update = lambda state, key: learner.update(state, key, steps)  # noqa: E731
    state, metrics = quick(lambda state: jax.lax.scan(update, state, keys))(state)
    assert metrics["model_loss"][-1] < metrics["model_loss"][0]
    return learner, state


def test_tree_search_and_the_cross_entropy_method_plan_in_the_model() -> None:
    for name, wished in (("discrete", 2.0), ("continuous", 0.5)):
        learner, state = learned(name)
        space: Any = ACTIONS[name]
        if name == "discrete":
            planner = tree_search.mcts(learner.model, space, 16, 2)
        else:
            planner = planning.cem(learner.model, space, 1, 32, 4, 3)
        plan = quick(planner.plan)(learner.params(state), jax.random.key(2), planner.begin(2), jnp.zeros((2, 2)))[0]
        np.testing.assert_allclose(np.asarray(plan).reshape(2), wished, atol=0.15)


def test_dyna_learns_from_what_the_model_says_of_transitions() -> None:
    learner, state = learned("discrete")
    steps = paying(ACTIONS["discrete"], seed=5)
    said = quick(lambda steps: imagined(learner, state, jax.random.key(3), steps))(steps)
    np.testing.assert_allclose(said.timestep.reward[1], steps.timestep.reward[1], atol=0.1)
    np.testing.assert_array_equal(said.timestep.step_type[1], steps.timestep.step_type[1])
    torso = networks.Torso(SEEN, (8,), cnn=None)
    inner = dqn(networks.q_network(torso, networks.QValues(3)), optimisers.adam(1e-2), discount=0.9, epsilon=0.1)
    around = dyna(inner, learner, 1)
    whole = quick(around.init)(jax.random.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    after, info = quick(around.update)(whole, jax.random.key(1), Sample(steps))
    assert after.updates == 1 and np.isfinite(info.metrics["model_loss"]) and np.isfinite(info.metrics["loss"])


def test_a_latent_model_goes_on_where_the_agent_is() -> None:
    module, params = world(), acted()[0].params["world"]
    how = dreams.Modelling(scalars.two_hot(21), 0.9)
    model = latent_models.latent_model(module, ACTIONS["discrete"], how, sampled=False)
    state = Latent(jnp.ones((2, 8)), jnp.zeros((2, 6)))
    after, said = model.step(params, jax.random.key(0), model.start(state), jnp.array([0, 2]))
    expected = dreams.call(module, params, state, jax.nn.one_hot(jnp.array([0, 2]), 3), None, method="imagine")
    np.testing.assert_allclose(after.h, expected.h, atol=1e-6)
    assert said.observation is after and said.reward.shape == said.discount.shape == (2,)
