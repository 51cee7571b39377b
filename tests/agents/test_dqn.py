"""The Q-learner and its switches: every loss by the equation, which parameters and draws it is made of, the target."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import objectives, optimisers, recurrence
from agents.common.objectives import Objective
from agents.dqn import Munchausen, State, dqn
from envs import keys
from envs.base import Box
from tests.losses.test_distributional import reference_projection, reference_quantile, softmax

A, N, DISCOUNT, KAPPA = 3, 16, 0.9, 0.5
ATOMS, TAU = np.linspace(-4, 4, 9), (np.arange(5) + 0.5) / 5
SOFT = Munchausen(0.9, 0.7, -1.0)
HEADS = {
    "expected": (networks.QValues(A), objectives.expected()),
    "categorical": (networks.CategoricalQ(A, atoms=9), objectives.categorical(jnp.float32(ATOMS))),
    "quantile": (networks.QuantileQ(A, quantiles=5), objectives.quantile(KAPPA)),
}
VARIANTS = {"plain": {"double": False}, "double": {"double": True}, "munchausen": {"munchausen": SOFT}}


def network(head: Any, noise: Any = None) -> networks.Network:
    return networks.q_network(networks.Torso(Box((2,)), (6,), noise=noise), head)


def parameters(net: networks.Network, seed: int) -> Any:
    """Random ones, of which two seeds are as different as can be."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(net.init, keys.key(0), jnp.zeros((N, 2)))
    return jax.tree.map(lambda x: jnp.float32(rng.normal(size=x.shape)), shapes)


@cache
def window() -> Step:
    """Transitions `[2, N]`: most within an episode, some that terminate, are truncated, or join two episodes."""
    rng = np.random.default_rng(0)
    step_type, discount = np.full((2, N), MID, np.int8), np.ones((2, N), np.float32)
    step_type[1, :4], discount[1, :2] = LAST, 0
    step_type[1, 4:6], step_type[0, 4] = FIRST, LAST
    reward, observation = rng.normal(size=(2, N)), rng.normal(size=(2, N, 2))
    timestep = TimeStep(step_type, np.float32(reward), discount, np.float32(observation))
    return Step(timestep, rng.integers(0, A, (2, N)), {})


WEIGHT = np.random.default_rng(3).uniform(0.2, 1, N).astype(np.float32)


class Output(NamedTuple):
    """Of one network, in float64: what the head gives at either end of a transition, and the values of it."""

    tm1: np.ndarray
    t: np.ndarray
    q_tm1: np.ndarray
    q_t: np.ndarray


def output(kind: str, params: Any) -> Output:
    head, objective = HEADS[kind]
    found = jax.jit(lambda p: recurrence.unroll(network(head), p, keys.key(0), window()))(params)
    raw = np.float64(found.values if kind == "quantile" else found)
    q = {"expected": lambda: raw, "categorical": lambda: softmax(raw) @ ATOMS, "quantile": lambda: raw.mean(-1)}[kind]()
    np.testing.assert_allclose(objective.values(found), q, rtol=1e-4, atol=1e-4)
    return Output(*raw, *q)


def expected_losses(kind: str, variant: str, online: Output, target: Output) -> np.ndarray:
    """`[N]`, one transition after the other."""
    steps, losses = window(), []
    for i in range(N):
        a, r = steps.action[0, i], float(steps.timestep.reward[1, i])
        discount = DISCOUNT * steps.timestep.discount[1, i]
        q = target.q_t[i] if variant != "double" else online.q_t[i]
        pi = np.eye(A)[q.argmax()]
        if variant == "munchausen":
            scale, tau, floor = SOFT
            pi, log_before = softmax(q / tau), np.log(softmax(target.q_tm1[i] / tau))
            r += scale * np.clip(tau * log_before[a], floor, 0) - discount * tau * pi @ np.log(pi)
        if kind == "expected":
            loss = 0.5 * (r + discount * pi @ target.t[i] - online.tm1[i, a]) ** 2
        elif kind == "categorical":
            goal = reference_projection(r + discount * ATOMS, pi @ softmax(target.t[i]), ATOMS)
            loss = -goal @ np.log(softmax(online.tm1[i, a]))
        else:
            loss = reference_quantile(online.tm1[i, a], TAU, r + discount * pi @ target.t[i], KAPPA)
        losses.append(loss)
    return np.array(losses)


@pytest.mark.parametrize("kind", HEADS)
def test_every_loss_is_that_of_the_equation(kind: str) -> None:
    """All of a target comes from θ⁻, but for the choice of the action if double; weights and masks count once."""
    head, objective = HEADS[kind]
    net, mask = network(head), window().timestep.step_type[1] != FIRST
    online, target = (parameters(net, seed) for seed in (0, 1))
    outputs = [output(kind, params) for params in (online, target)]
    found = {variant: expected_losses(kind, variant, *outputs) for variant in VARIANTS}
    others = expected_losses(kind, "double", outputs[0], outputs[0])
    for a, b in (("plain", "double"), ("plain", "munchausen")):
        assert np.abs(found[a] - found[b])[mask].max() > 0.05, "the switch makes a difference here"
    assert np.abs(found["double"] - others)[mask].max() > 0.05, "and so does the target network"

    def losses(params: Any, target: Any) -> list[Any]:
        """Of each variant."""
        agents = [dqn(net, optax.sgd(1.0), objective=objective, discount=DISCOUNT, **VARIANTS[v]) for v in VARIANTS]
        state = State(params, target, optax.sgd(1.0).init(params), jnp.int32(0))
        return [agent.update(state, keys.key(0), Sample(window(), weight=WEIGHT))[1] for agent in agents]

    for variant, info in zip(VARIANTS, jax.jit(losses)(online, target), strict=True):
        loss = np.sum(WEIGHT * mask * found[variant]) / mask.sum()
        np.testing.assert_allclose(info.metrics["loss"], loss, rtol=1e-4, err_msg=variant)
        assert np.all(info.priority[mask] > 0) and not np.any(info.priority[~mask])


def test_what_random_returns_leave_is_no_priority() -> None:
    """A categorical prediction that is right has priority 0; its cross-entropy, which other codes take, is not 0."""
    goal = losses_of_a_coin(0.5)
    assert goal.loss > 0.6 and goal.priority == pytest.approx(0, abs=1e-5)
    assert losses_of_a_coin(0.9).priority > 0.3


class Coin(NamedTuple):
    loss: float
    priority: float


def losses_of_a_coin(predicted: float) -> Coin:
    """Of a return of 0 or 2 at even odds, as the two-atom distribution of the next state has it."""
    atoms = jnp.array([0.0, 2.0])
    logits = lambda p: jnp.log(jnp.array([[[1 - p, p]]]))  # noqa: E731
    args = (jnp.zeros(1, jnp.int32), jnp.zeros(1), jnp.ones(1), logits(0.5), jnp.ones((1, 1)))
    loss, priority = objectives.categorical(atoms).loss(logits(predicted), *args)
    return Coin(float(loss[0]), float(priority[0]))


def spy() -> Objective:
    """Reports as priorities how far apart draws are on equal observations and parameters."""

    def loss(q_tm1: Any, a_tm1: Any, r_t: Any, discount_t: Any, q_t: Any, pi_t: Any) -> tuple[Any, Any]:
        gaps = [
            jnp.max(jnp.abs(q_tm1 - q_t), axis=-1),
            jnp.max(q_t, axis=-1) - jnp.sum(pi_t * q_t, axis=-1),
            jnp.max(q_tm1, axis=-1) - jnp.sum(pi_t * q_tm1, axis=-1),
        ]
        return jnp.sum(q_tm1, axis=-1), jnp.concatenate([gap[..., :1] for gap in gaps], axis=-1)

    return Objective(lambda q: q, loss)


@pytest.mark.parametrize(
    ("head", "variant"),
    [
        (networks.QValues(8, noise=networks.Noise(1.0)), "double"),
        ("implicit", "double"),
        ("implicit", "plain"),
        ("implicit", "munchausen"),
    ],
)
def test_prediction_target_and_choice_draw_apart(head: Any, variant: str) -> None:
    """Noise (Fortunato et al., section 3.2) and levels (IQN) are fresh for each use."""
    sampled = head == "implicit"
    net = network(networks.ImplicitQ(8, samples=4, embedding=4) if sampled else head)
    objective = spy()
    if sampled:
        objective = Objective(lambda x: x.values.mean(-1), lambda x, *rest: spy().loss(*map(mean_of, (x, *rest))))
    switches = {**VARIANTS[variant], **({"munchausen": Munchausen(0.0, 1e-4)} if variant == "munchausen" else {})}
    agent = dqn(net, optax.sgd(1.0), objective=objective, sampled=sampled, **switches)
    params = parameters(net, 0)
    state = State(params, params, optax.sgd(1.0).init(params), jnp.int32(0))
    same = jax.tree.map(lambda x: jnp.asarray(x)[:, :3], window())
    timestep = same.timestep._replace(step_type=jnp.full((2, 3), MID, jnp.int8), observation=jnp.ones((2, 3, 2)))
    update = lambda key: agent.update(state, key, Sample(same._replace(timestep=timestep)))[1].priority  # noqa: E731
    gaps = np.asarray(jax.jit(jax.vmap(update))(jax.random.split(keys.key(0), 64)))
    # Not for each key: layers may be silent. With a draw in common, a gap would be 0 for every one.
    for pair, gap in zip(("prediction, target", "choice, target", "choice, prediction"), gaps.T, strict=True):
        assert (gap > 1e-4).mean() > 0.3, pair


def mean_of(x: Any) -> Any:
    return x.values.mean(-1) if isinstance(x, networks.Quantiles) else x


def test_lanes_act_with_noise_of_their_own_and_are_evaluated_without() -> None:
    net = network(networks.QValues(8, noise=networks.Noise(1.0)))
    agent = dqn(net, optax.sgd(1.0), epsilon=0.0, noisy=True)
    params = parameters(net, 0)
    actor = agent.actor(State(params, params, (), jnp.int32(0)))
    row = TimeStep(jnp.full(64, MID, jnp.int8), jnp.zeros(64), jnp.ones(64), jnp.ones((64, 2)))
    act = jax.jit(lambda key, explore: agent.act(actor, key, (), row, explore)[0], static_argnums=1)
    acts = [act(keys.key(k), explore) for explore in (True, False) for k in (0, 1)]
    assert len(np.unique(acts[0])) > 1 and np.any(acts[0] != acts[1])
    assert len(np.unique(acts[2])) == 1 and np.all(acts[2] == acts[3])


def test_the_target_moves_once_a_period_and_as_far_as_told() -> None:
    head, objective = HEADS["expected"]
    net = network(head)
    agent = dqn(net, optimisers.chain(optax.sgd(0.1)), objective=objective, target_period=3, target_rate=0.25)
    params, target = (parameters(net, seed) for seed in (0, 1))
    state = State(params, target, optimisers.chain(optax.sgd(0.1)).init(params), jnp.int32(0))
    update = jax.jit(lambda state: agent.update(state, keys.key(0), Sample(window()))[0])
    for count in (1, 2, 3, 4):
        before, state = state, update(state)
        rate = 0.25 if count == 3 else 0.0
        expected = jax.tree.map(lambda a, b, rate=rate: b + rate * (a - b), state.params, before.target)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), state.target, expected)
        assert state.updates == count


def test_gradients_are_clipped_by_their_norm_and_not_one_by_one() -> None:
    gradient = {"a": jnp.array([3.0, 0.1]), "b": jnp.array([[4.0]])}
    optimiser = optimisers.chain(optax.sgd(1.0), 1.0)
    step, _ = optimiser.update(gradient, optimiser.init(gradient), gradient)
    norm = np.sqrt(25.01)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, -b / norm, rtol=1e-5), step, gradient)
