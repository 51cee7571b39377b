"""Dreamer: what is acted with is what is learned from, gradients go where they should, and planners take its model."""

from functools import cache
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
from experiments.run import plans, prepare
from networks.predictor import modalities
from networks.world import RSSM, Head, Kind, Latent, Policy, World
from tests.experiments.running import call

LANES, ROWS = 3, 9
SEEN = Box((2,))
ACTIONS = {"discrete": Discrete(3), "continuous": Box((1,), -1.0, 1.0)}


def world(version: str = "v3") -> World:
    latent = Kind("categorical", 2, 3) if version == "v3" else Kind("gaussian", 4)
    core: Any = "block" if version == "v3" else "gru"
    return World(modalities(SEEN), RSSM(latent, 8, 8, core, 2, 1), 21, 8, 1)


VERSIONS: dict[str, dict[str, Any]] = {
    "v3": {},
    "v1": {"gradient": "dynamics", "bootstrap": "slow", "target_period": 2, "target_rate": 1.0, "normalise": False},
}
"""`v3` has discrete actions, `v1` a range of them; the latter with v2's copied critic."""


def agent(version: str, remember: bool = True, sampled: bool = False, noise: float = 0.0, **behaviour: Any) -> Agent:
    how = dreams.Modelling(scalars.two_hot(21), 0.9)
    actor = Policy("categorical", 3, 8, 1) if version == "v3" else Policy("bounded", 1, 8, 1)
    return dreamer(
        world(version), actor, Head(21, 8, 1, scale=0.0), optimisers.chain(optax.sgd(0.1)),
        actions=ACTIONS["discrete" if version == "v3" else "continuous"], modelling=how, values=how.rewards,
        noise=noise, sampled=sampled, remember=remember,
        behaviour=Behaviour(**{"horizon": 3, **VERSIONS[version], **behaviour}),
    )  # fmt: skip


def timesteps() -> TimeStep:
    """Rows `[ROWS, LANES]`: an episode that ends and another that begins in lane 0, one that is cut in lane 1."""
    kinds = np.full((ROWS, LANES), MID, np.int8)
    kinds[0], kinds[4, 0], kinds[5, 0], kinds[3, 1] = FIRST, LAST, FIRST, FIRST
    rng = np.random.default_rng(0)
    discount = np.where(kinds == LAST, 0.0, 1.0)
    reward, observation = rng.normal(size=(ROWS, LANES)), rng.normal(size=(ROWS, LANES, 2))
    return TimeStep(jnp.asarray(kinds), *(jnp.float32(x) for x in (reward, discount, observation)))


@cache
def acted(version: str = "v3", remember: bool = True) -> tuple[Any, Step]:
    """A state and what the agent did with it."""
    it, rows = agent(version, remember), timesteps()

    @jax.jit
    def play() -> tuple[Any, Step]:
        state = it.init(jax.random.key(0), jax.tree.map(lambda x: x[0], rows))

        def step(carry: Any, row: tuple) -> tuple[Any, Step]:
            key, timestep = row
            action, carry, extras = it.act(it.actor(state), key, carry, timestep, True)
            return carry, Step(timestep, action, extras)

        keys = jax.random.split(jax.random.key(1), ROWS)
        return state, jax.lax.scan(step, it.begin(LANES), (keys, rows))[1]

    return play()


@cache
def learn(version: str) -> Any:
    """An update that is compiled once for all costs, `(state, steps, entropy_cost, replay_cost) -> (state, info)`."""

    @jax.jit
    def update(state: Any, steps: Step, entropy: Any, replay: Any) -> Any:
        costs = {"entropy_cost": entropy, "replay_cost": replay}
        return agent(version, **costs).update(state, jax.random.key(2), Sample(steps))

    return update


def same(some: Any, others: Any) -> bool:
    """Whether two trees are, but for rounding."""
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool(jnp.abs(a - b).max() < 1e-6), some, others)))


versions = pytest.mark.parametrize("version", VERSIONS)


@versions
def test_a_window_becomes_what_was_acted_with(version: str) -> None:
    """Before parameters change, the states that learning infers are those that acting had, across episodes too."""
    state, steps = acted(version)
    _, info = learn(version)(state, steps, 0.0, 0.3)
    assert info.rewrite["h"].shape == (ROWS, LANES, 8)
    for name in ("h", "z"):
        np.testing.assert_allclose(info.rewrite[name], steps.extras[name], atol=1e-5)


def test_evaluations_draw_latents_too_and_noise_is_of_training_alone() -> None:
    state, rows = acted("v1")[0], jax.tree.map(lambda x: x[0], timesteps())

    def first(noise: float, explore: bool, key: int, sampled: bool = True) -> tuple[Any, Any]:
        it = agent("v1", sampled=sampled, noise=noise)
        action, _, extras = it.act(it.actor(state), jax.random.key(key), it.begin(LANES), rows, explore)
        return np.asarray(action), np.asarray(extras["z"])

    (greedy, z), (_, other), (_, fixed) = first(0.0, False, 0), first(0.0, False, 1), first(0.0, False, 0, False)
    assert (z != other).all() and (z != fixed).all()
    np.testing.assert_array_equal(first(0.3, False, 0)[0], greedy)
    plain, noisy = first(0.0, True, 0)[0], first(0.3, True, 0)[0]
    assert (plain != noisy).any() and (np.abs(noisy) <= 1).all()


def test_the_context_decides_until_an_episode_opens() -> None:
    state, steps = acted()
    other = steps._replace(extras=steps.extras | {"h": steps.extras["h"].at[0].add(1.0)})
    _, info = learn("v3")(state, other, 0.0, 0.3)
    changed = np.abs(info.rewrite["h"] - steps.extras["h"]).max(-1) > 1e-4
    assert changed[:3].all() and changed[4, 0] and changed[:, 2].all()
    assert not changed[5:, 0].any() and not changed[3:, 1].any()


def test_without_recurrence_a_state_is_of_its_row_alone() -> None:
    _, steps = acted(remember=False)
    assert np.ptp(steps.extras["h"], axis=(0, 1)).max() == 0
    assert np.ptp(acted()[1].extras["h"], axis=(0, 1)).max() > 0


@versions
def test_the_actor_does_not_bend_the_world(version: str) -> None:
    some, others = (learn(version)(*acted(version), cost, 0.0)[0].params for cost in (0.0, 1.0))
    assert same(some["world"], others["world"]) and same(some["critic"], others["critic"])
    assert not same(some["actor"], others["actor"])


@versions
def test_replayed_values_reach_the_world_and_imagined_ones_do_not(version: str) -> None:
    rng, (before, steps) = np.random.default_rng(1), acted(version)
    noisy = jax.tree.map(lambda x: x + jnp.float32(0.1 * rng.normal(size=x.shape)), before.params["critic"])
    given = before._replace(params=before.params | {"critic": noisy})
    none, some = (learn(version)(given, steps, 0.0, cost)[0].params["world"] for cost in (0.0, 1.0))
    assert same(none, learn(version)(before, steps, 0.0, 0.0)[0].params["world"])
    assert not same(none, some)


def test_the_slow_critic_follows_and_the_range_of_returns_is_kept() -> None:
    state, steps = acted()
    after, info = learn("v3")(state, steps, 0.0, 0.3)
    for old, new, slow in zip(*map(jax.tree.leaves, (state.slow, after.params["critic"], after.slow)), strict=True):
        np.testing.assert_allclose(slow, 0.98 * old + 0.02 * new, atol=1e-6)
    assert after.updates == 1 and after.range.shape == (2,)
    np.testing.assert_allclose(info.metrics["return_range"], after.range[1] - after.range[0], rtol=1e-5)


def test_copied_critics_move_at_their_period() -> None:
    state, steps = acted("v1")
    once, _ = learn("v1")(state, steps, 0.0, 0.0)
    twice, _ = learn("v1")(once, steps, 0.0, 0.0)
    assert same(once.slow, state.slow) and not same(once.params["critic"], state.params["critic"])
    assert same(twice.slow, twice.params["critic"])


def test_gradients_through_the_model_raise_what_it_imagines() -> None:
    rng, (state, steps) = np.random.default_rng(2), acted("v1")
    told = state.params["world"]["of_reward"]
    told = jax.tree.map(lambda x: x + jnp.float32(0.1 * rng.normal(size=x.shape)), told)
    given = state._replace(params=state.params | {"world": state.params["world"] | {"of_reward": told}})
    after, info = learn("v1")(given, steps, 0.0, 0.0)
    better = given._replace(params=given.params | {"actor": after.params["actor"]})
    _, then = learn("v1")(better, steps, 0.0, 0.0)
    assert then.metrics["imagined_return"] > info.metrics["imagined_return"]


def test_imagination_follows_the_policy_and_the_prior() -> None:
    module, params = world(), acted()[0].params["world"]
    begun = Latent(jnp.ones((4, 8)), jnp.zeros((4, 6)))
    chosen: Any = lambda features: networks.Categorical(jnp.broadcast_to(jnp.array([0.0, 9.0, 0.0]), (4, 3)))  # noqa: E731

    @jax.jit
    def dreamt() -> Any:
        states, taken = dreams.imagine(module, params, None, begun, chosen, ACTIONS["discrete"], 2)
        after = dreams.call(module, params, begun, jax.nn.one_hot(taken[0], 3), None, method="imagine")
        return states, taken, after, dreams.call(module.rssm, params["rssm"], after.h, method="prior").sample(None)

    states, taken, after, prior = dreamt()
    assert states.h.shape == (3, 4, 8) and (taken == 1).all()
    np.testing.assert_allclose(states.h[1], after.h, atol=1e-6)
    np.testing.assert_allclose(states.z[1], prior, atol=1e-6)


@pytest.mark.parametrize(("ratio", "lanes", "batch", "length"), [(64, 1, 16, 32), (512, 4, 16, 64), (7, 3, 5, 9)])
def test_each_step_is_replayed_exactly_as_often_as_the_flag_says(
    ratio: int, lanes: int, batch: int, length: int
) -> None:
    config = experiments.dreamer.Config(replay_ratio=ratio, batch_size=batch, length=length)
    made = experiments.dreamer.schedule(config, plans.Size(lanes, 1, 1000))
    assert made.updates * batch * length == ratio * made.unroll * lanes


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent.deter", "100"], "--agent.deter 100: must be a multiple of --agent.blocks, 8"),
        (["--agent.starts", "40"], "--agent.starts 40: must be at most --agent.length, 32"),
        (["--agent.starts", "1"], "--agent.starts 1: the critic's replayed returns need 2 rows or more"),
        (["--agent.buffer-size", "20"], "--agent.buffer-size 20: holds 20 steps of each of 1 environments"),
        (["--agent.length", "1"], "--agent.length 1: must be at least 2"),
    ],
)
def test_refusals(words: list[str], told: str, tmp_path: Any) -> None:
    outcome = call("dreamer", *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and told in outcome.err, outcome.err


@pytest.mark.parametrize("preset", experiments.dreamer.PRESETS)
def test_presets_are_accepted_and_built(preset: str) -> None:
    experiment = experiments.dreamer.experiment
    config = experiment.parse(["--preset", preset])
    spec, size = prepare.environment(config).spec, prepare.size_of(config)
    experiment.check(config.agent, spec, size)
    parts = experiment.make(config.agent, spec, size)
    rows = config.agent.batch_size * config.agent.length * parts.schedule.updates
    assert rows == config.agent.replay_ratio * parts.schedule.unroll * config.num_envs


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
    """Transitions `[2, number]` that pay for the last, or the least, of the actions; without the last they end."""
    rng = np.random.default_rng(seed)
    if isinstance(actions, Discrete):
        action = rng.integers(0, actions.num, (2, number)).astype(np.int32)
        reward = (action[0] == actions.num - 1).astype(np.float32)
    else:
        action = rng.uniform(-1, 1, (2, number, 1)).astype(np.float32)
        reward = -action[0, :, 0]
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
    state = jax.jit(learner.init)(jax.random.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    keys = jax.random.split(jax.random.key(1), 200)
    update = lambda state, key: learner.update(state, key, steps)  # noqa: E731
    state, metrics = jax.jit(lambda state: jax.lax.scan(update, state, keys))(state)
    assert metrics["model_loss"][-1] < metrics["model_loss"][0]
    return learner, state


def test_tree_search_and_the_cross_entropy_method_plan_in_the_model() -> None:
    for name, wished in (("discrete", 2.0), ("continuous", -1.0)):
        learner, state = learned(name)
        space: Any = ACTIONS[name]
        if name == "discrete":
            planner = tree_search.mcts(learner.model, space, 16, 2)
        else:
            planner = planning.cem(learner.model, space, 1, 32, 4, 3)
        plan = jax.jit(planner.plan)(learner.params(state), jax.random.key(2), planner.begin(2), jnp.zeros((2, 2)))[0]
        np.testing.assert_allclose(np.asarray(plan).reshape(2), wished, atol=0.25)


def test_dyna_learns_from_what_the_model_says_of_transitions() -> None:
    learner, state = learned("discrete")
    steps = paying(ACTIONS["discrete"], seed=5)
    said = jax.jit(lambda steps: imagined(learner, state, jax.random.key(3), steps))(steps)
    np.testing.assert_allclose(said.timestep.reward[1], steps.timestep.reward[1], atol=0.1)
    np.testing.assert_array_equal(said.timestep.step_type[1], steps.timestep.step_type[1])
    torso = networks.Torso(SEEN, (8,), cnn=None)
    inner = dqn(networks.q_network(torso, networks.QValues(3)), optimisers.adam(1e-2), discount=0.9, epsilon=0.1)
    around = dyna(inner, learner, 1)
    whole = jax.jit(around.init)(jax.random.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    after, info = jax.jit(around.update)(whole, jax.random.key(1), Sample(steps))
    assert after.updates == 1 and np.isfinite(info.metrics["model_loss"]) and np.isfinite(info.metrics["loss"])


def test_a_latent_model_goes_on_where_the_agent_is() -> None:
    module, params = world(), acted()[0].params["world"]
    how = dreams.Modelling(scalars.two_hot(21), 0.9)
    model = latent_models.latent_model(module, ACTIONS["discrete"], how, sampled=False)
    state = Latent(jnp.ones((2, 8)), jnp.zeros((2, 6)))
    done = jnp.array([0, 2])
    after, said = jax.jit(lambda: model.step(params, jax.random.key(0), model.start(state), done))()
    expected = jax.jit(lambda: dreams.call(module, params, state, jax.nn.one_hot(done, 3), None, method="imagine"))()
    np.testing.assert_allclose(after.h, expected.h, atol=1e-6)
    assert (said.observation.h == after.h).all() and said.reward.shape == said.discount.shape == (2,)
