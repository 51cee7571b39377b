"""TD-MPC2: its planner where the best plan is known, and what is learned against plain numpy."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.td_mpc2 import Coefficients, td_mpc2
from agents.world.proposals import Imagination, Mppi, planned
from envs import keys
from envs.base import Box, Discrete, Spec
from experiments import td_mpc2 as command
from experiments.run.plans import Size
from networks.control import Control
from networks.distributions import TanhGaussian
from tests.losses.test_models import log_softmax, reference_two_hot


def line(value: Any = lambda z: 0 * z[:, 0], pays: float = 1.0, proposes: float = 0.0) -> Imagination:
    """A point that moves by its action and is paid for being near 1."""

    def step(z: Any, action: Any) -> Any:
        z = z + action
        return z, -pays * jnp.square(z[:, 0] - 1.0)

    return Imagination(step, lambda key, z: jnp.full(z.shape, proposes), lambda key, z: value(z))


def plan(imagine: Imagination, **settings: Any) -> Any:
    mppi = Mppi(**{"horizon": 3, "population": 256, "iterations": 6, "temperature": 20.0, **settings})
    start = jnp.array([[0.0], [0.7]])
    return planned(mppi, imagine, keys.key(0), start, jnp.zeros((2, mppi.horizon, 1)), 0.9)


def test_plans_go_where_the_reward_is() -> None:
    mean, deviation, drawn = plan(line())
    np.testing.assert_allclose(mean[:, 0, 0], [1.0, 0.3], atol=0.1)
    np.testing.assert_allclose(mean[:, 1:, 0], 0.0, atol=0.25)
    np.testing.assert_allclose(drawn[:, 0], [1.0, 0.3], atol=0.3)
    assert (deviation >= 0.05).all() and (deviation < 0.5).all()


def test_what_comes_after_a_plan_is_the_value_s() -> None:
    upwards, _, _ = plan(line(lambda z: z[:, 0], pays=0.0), horizon=1)
    downwards, _, _ = plan(line(lambda z: -z[:, 0], pays=0.0), horizon=1)
    assert (upwards[:, 0] > 0.9).all() and (downwards[:, 0] < -0.9).all()


def test_proposals_are_taken_where_others_are_worse() -> None:
    narrow = {"horizon": 1, "most": 0.05, "iterations": 1, "elites": 8, "proposals": 8}
    proposed, _, _ = plan(line(lambda z: z[:, 0], pays=0.0, proposes=0.8), **narrow)
    np.testing.assert_allclose(proposed[:, 0, 0], 0.8, atol=0.05)
    alone, _, _ = plan(line(lambda z: z[:, 0], pays=0.0, proposes=0.8), **{**narrow, "proposals": 0})
    assert (alone < 0.3).all()


def test_weights_of_plans_are_exponentials_of_returns_times_the_temperature() -> None:
    """Of all of a generation, by hand: the mean of actions a in [-1, 1] that pay a."""
    pays = line(lambda z: z[:, 0], pays=0.0)
    for temperature in (0.5, 3.0):
        settings = {"horizon": 1, "iterations": 1, "population": 4096, "elites": 4096, "proposals": 0, "most": 50.0}
        mean, _, _ = plan(pays, temperature=temperature, **settings)  # almost all are cut to -1 or 1
        np.testing.assert_allclose(mean[:, 0, 0], np.tanh(0.9 * temperature), atol=0.04)


def test_latents_are_distributions() -> None:
    made = networks.simplicial(jax.random.normal(keys.key(0), (3, 24)), 8)
    np.testing.assert_allclose(made.reshape((3, 3, 8)).sum(-1), 1.0, rtol=1e-6)
    with pytest.raises(ValueError, match="must divide the width of a latent, 24"):
        networks.simplicial(jnp.zeros((1, 24)), 7)


@pytest.mark.parametrize("level", [True, False])
def test_latents_are_normalised_before_they_become_distributions(level: bool) -> None:
    """Both what is encoded and what is foretold; and the policy begins with a standard deviation of e⁻⁴."""
    torso, see = networks.MLP((8,)), jax.random.normal(keys.key(0), (5, 3))
    made = networks.control(torso, 2, 11, width=16, hidden=(8,), squash=lambda x: 3 * x, level=level)
    params = made.init(keys.key(1), see)
    z = made.encode(params, see)
    after = made.step(params, z, jnp.full((5, 2), 0.5))
    for latent in (z, after):
        levelled = np.allclose(latent.mean(-1), 0.0, atol=1e-5) and np.allclose(latent.std(-1), 3.0, rtol=0.05)
        assert levelled == level
    np.testing.assert_allclose(made.policy(params, z).log_std, -4.0, atol=0.5)


RNG = np.random.default_rng(0)
WIDTH, ACTIONS, LANES, HORIZON, CRITICS = 4, 2, 4, 3, 2
ATOMS = np.linspace(-3.0, 3.0, 7)
PARAMS = {
    "encoder": RNG.normal(size=(3, WIDTH)),
    "dynamics": RNG.normal(size=(WIDTH + ACTIONS, WIDTH)),
    "reward": RNG.normal(size=(WIDTH + ACTIONS, 7)),
    "policy": RNG.normal(size=(WIDTH, ACTIONS)),
    "critics": RNG.normal(size=(CRITICS, WIDTH + ACTIONS, 7)),
}


def still(p: Any, z: Any) -> TanhGaussian:
    """A policy without spread."""
    mean = z @ p["policy"]
    return TanhGaussian(mean, jnp.full_like(mean, -20.0), jnp.full_like(mean, -1.0), jnp.full_like(mean, 1.0))


TOY = Control(
    lambda key, observation: jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS),
    lambda p, x: jnp.tanh(x @ p["encoder"]),
    lambda p, z, a: jnp.tanh(jnp.concatenate([z, a], -1) @ p["dynamics"]),
    lambda p, z, a: jnp.concatenate([z, a], -1) @ p["reward"],
    still,
    lambda p, z, a: jnp.einsum("nd,edk->enk", jnp.concatenate([z, a], -1), p),
)


def window() -> Step:
    """Lanes that go on, terminate, are truncated, and break off."""
    kinds = np.array([[MID] * 4, [MID, LAST, FIRST, MID], [FIRST, MID, LAST, FIRST], [MID, FIRST, MID, MID]], np.int8).T
    ends = np.ones((HORIZON + 1, LANES))
    ends[1, 1] = 0.0
    shape = (HORIZON + 1, LANES)
    made = Step(
        TimeStep(kinds, RNG.normal(size=shape), ends, RNG.normal(size=(*shape, 3))),
        RNG.uniform(-1, 1, size=(*shape, ACTIONS)),
    )
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if x.dtype == np.float64 else jnp.asarray(x), made)


STEPS = window()


def symlog(x: Any) -> Any:
    return np.sign(x) * np.log1p(abs(x))


def read(logits: Any) -> Any:
    y = (np.exp(log_softmax(logits)) * ATOMS).sum(-1)
    return np.sign(y) * np.expm1(abs(y))


def cross_entropy(logits: Any, x: float) -> float:
    return float(-(reference_two_hot(np.array([symlog(x)]), ATOMS) * log_softmax(logits)).sum())


def expected(steps: Any) -> dict[str, float]:
    p, x = PARAMS, jax.tree.map(lambda x: np.asarray(x, np.float64), steps)
    kind, reward, ends, seen = x.timestep
    total = dict.fromkeys(("consistency_loss", "reward_loss", "value_loss", "policy_loss"), 0.0)
    encoded = np.tanh(seen @ p["encoder"])

    def judged(z: Any) -> Any:
        pair = np.concatenate([z, np.tanh(z @ p["policy"])])
        return np.array([read(pair @ critic) for critic in p["critics"]])

    for i in range(LANES):
        z, alive = encoded[0, i], True
        for h in range(HORIZON + 1):
            if alive:
                total["policy_loss"] -= 0.5**h * judged(z).mean() / ((HORIZON + 1) * LANES)
            if h == HORIZON:
                break
            alive &= kind[h + 1, i] != FIRST
            pair = np.concatenate([z, x.action[h, i]])
            z = np.tanh(pair @ p["dynamics"])
            if alive:
                share = 0.5**h / (HORIZON * LANES)
                y = reward[h + 1, i] + 0.9 * ends[h + 1, i] * judged(encoded[h + 1, i]).min()
                total["consistency_loss"] += share * ((z - encoded[h + 1, i]) ** 2).mean()
                total["reward_loss"] += share * cross_entropy(pair @ p["reward"], reward[h + 1, i])
                total["value_loss"] += share * np.mean([cross_entropy(pair @ critic, y) for critic in p["critics"]])
    return total


def toy(**coefficients: float) -> Any:
    chains = optimisers.apart(**{name: optimisers.chain(optax.sgd(1.0)) for name in PARAMS})
    weights = Coefficients(**{"entropy": 0.0, **coefficients})
    return td_mpc2(
        TOY, chains, actions=ACTIONS, atoms=jnp.asarray(ATOMS, jnp.float32), mppi=Mppi(HORIZON, 8, 2, 4, 1),
        discount=0.9, coefficients=weights, target_rate=0.5,
    )  # fmt: skip


def test_losses_are_the_papers() -> None:
    made = toy()
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS.timestep))
    _, info = jax.jit(made.update)(state, keys.key(1), Sample(STEPS))
    told = expected(STEPS)
    for name, value in told.items():
        np.testing.assert_allclose(info.metrics[name], value, rtol=2e-4, err_msg=name)
    total = 20 * told["consistency_loss"] + 0.1 * (told["reward_loss"] + told["value_loss"]) + told["policy_loss"]
    np.testing.assert_allclose(info.metrics["loss"], total, rtol=2e-4)


def test_the_policy_s_loss_moves_the_policy_alone_and_critics_are_averaged() -> None:
    made = toy(consistency=0.0, reward=0.0, value=0.0)
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS.timestep))
    after, _ = jax.jit(made.update)(state, keys.key(1), Sample(STEPS))
    moved = {name for name in PARAMS if not np.array_equal(after.params[name], state.params[name])}
    assert moved == {"policy"}
    valued, _ = jax.jit(toy().update)(state, keys.key(1), Sample(STEPS))
    halfway = (state.params["critics"] + valued.params["critics"]) / 2
    np.testing.assert_allclose(valued.critics, halfway, rtol=1e-5)


def test_it_acts_at_random_until_it_has_learned() -> None:
    made = toy()
    timestep = jax.tree.map(lambda x: x[0], STEPS.timestep)
    state = made.init(keys.key(0), timestep)
    act = lambda state, key, explore: made.act(  # noqa: E731
        made.actor(state), keys.key(key), made.begin(LANES), timestep, explore
    )
    early, learned = act(state, 0, True)[0], act(state._replace(updates=jnp.int32(1)), 0, True)[0]
    assert not np.allclose(early, learned)
    carry = act(state, 0, False)[1]
    assert carry.shape == (LANES, HORIZON, ACTIONS) and (carry[:, -1] == 0).all() and (carry[:, 0] != 0).any()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        ({"width": 12}, "--agent.width 12: must be a multiple of --agent.group 8"),
        ({"elites": 200}, "--agent.elites 200: must be at most --agent.population 128"),
        ({"proposals": 200}, "--agent.proposals 200: must be at most --agent.population 128"),
    ],
)
def test_flags_that_do_not_go_together(flags: Any, told: str) -> None:
    spec = Spec("x", Box((3,)), Box((1,), -2.0, 2.0), 200)
    with pytest.raises(ValueError, match=told):
        command.check(command.Config(**flags), spec, Size(1, 1, 10_000))
    with pytest.raises(ValueError, match="td_mpc2 needs a vector of bounded actions"):
        command.check(command.Config(), spec._replace(action=Discrete(2)), Size(1, 1, 10_000))
