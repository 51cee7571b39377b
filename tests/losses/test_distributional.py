"""Distributional losses: golden values, and the tasks whose return distribution is known."""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import networks
from agents import losses
from agents.common import objectives
from envs import keys
from networks.heads import Quantiles
from tests.thorough import THOROUGH


def normal(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference_projection(z: np.ndarray, p: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    """Algorithm 1 of the paper, one atom after the other, with the guard that it lacks."""
    m = np.zeros(len(atoms))
    gap = atoms[1] - atoms[0]
    for value, mass in zip(z, p, strict=True):
        b = (np.clip(value, atoms[0], atoms[-1]) - atoms[0]) / gap
        low, high = int(np.floor(b)), int(np.ceil(b))
        if low == high:
            m[low] += mass
        else:
            m[low] += mass * (high - b)
            m[high] += mass * (b - low)
    return m


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.floats(-3, 3), st.floats(0, 1.5))
def test_projection_is_algorithm_1(seed: int, reward: float, discount: float) -> None:
    atoms, p = np.linspace(-2, 2, 9), softmax(normal(seed, 9))
    z = reward + discount * atoms
    m = losses.categorical_projection(jnp.float32(z), jnp.float32(p), jnp.float32(atoms))
    np.testing.assert_allclose(m, reference_projection(z, p, atoms), atol=1e-5)
    np.testing.assert_allclose(np.sum(m), 1, atol=1e-5)


def test_projection_is_linear_in_signed_masses_and_keeps_the_mean() -> None:
    atoms, z, p = jnp.linspace(-4.0, 4.0, 11), jnp.float32([-3.3, 0.1, 2.9]), jnp.float32([0.8, -0.5, 0.7])
    m = losses.categorical_projection(z, p, atoms)
    assert m.min() < 0
    np.testing.assert_allclose(m @ atoms, p @ z, atol=1e-6)


def unguarded(z: np.ndarray, p: np.ndarray, atoms: np.ndarray) -> np.ndarray:
    b = (np.clip(z, atoms[0], atoms[-1]) - atoms[0]) / (atoms[1] - atoms[0])
    low, high = np.floor(b).astype(int), np.ceil(b).astype(int)
    m = np.zeros(len(atoms))
    np.add.at(m, low, p * (high - b))
    np.add.at(m, high, p * (b - low))
    return m


def test_binomial_chain_is_exact_and_without_the_guard_all_mass_is_lost() -> None:
    """H Bernoulli rewards make a binomial return, and all its values are atoms."""
    horizon, chance = 10, 0.3
    atoms = np.arange(horizon + 1.0)
    exact, lossy = jnp.zeros(horizon + 1).at[0].set(1.0), np.eye(horizon + 1)[0]
    for _ in range(horizon):
        moved = [losses.categorical_projection(jnp.float32(r + atoms), exact, jnp.float32(atoms)) for r in (0, 1)]
        exact = (1 - chance) * moved[0] + chance * moved[1]
        lossy = (1 - chance) * unguarded(atoms, lossy, atoms) + chance * unguarded(1 + atoms, lossy, atoms)
    choose = np.array([np.prod([(horizon - i) / (i + 1) for i in range(k)]) for k in range(horizon + 1)])
    np.testing.assert_allclose(exact, choose * chance**atoms * (1 - chance) ** (horizon - atoms), atol=1e-6)
    assert lossy.sum() == 0


def reference_quantile(q: np.ndarray, tau: np.ndarray, target: np.ndarray, kappa: float) -> float:
    total = 0.0
    for i in range(len(q)):
        for j in range(len(target)):
            u = target[j] - q[i]
            huber = 0.5 * u * u if abs(u) < kappa else kappa * (abs(u) - 0.5 * kappa)
            distance = abs(u) if kappa == 0 else huber / kappa
            total += abs(tau[i] - (u < 0)) * distance / len(target)
    return total


@pytest.mark.parametrize("kappa", [0.0, 0.3, 1.0])
def test_quantile_huber(kappa: float) -> None:
    q, tau, target = normal(0, 4, 5), np.random.default_rng(1).uniform(size=(4, 5)), normal(2, 4, 7)
    expected = [reference_quantile(*row, kappa) for row in zip(q, tau, target, strict=True)]
    got = jax.jit(losses.quantile_huber)(*(jnp.float32(x) for x in (q, tau, target)), kappa)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


def test_munchausen() -> None:
    q, a, tau = normal(0, 6, 3), np.array([0, 1, 2, 0, 1, 2]), 0.5
    log_pi = np.log(softmax(q / tau))
    bonus = np.clip(tau * log_pi[np.arange(6), a], -1, 0)
    assert bonus.min() == -1
    np.testing.assert_allclose(losses.munchausen_bonus(jnp.float32(q), jnp.asarray(a), tau), bonus, atol=1e-5)
    pi, entropy = losses.soft_policy(jnp.float32(q), tau)
    value = (np.exp(log_pi) * (q - tau * log_pi)).sum(-1)
    np.testing.assert_allclose(jnp.sum(pi * q, axis=-1) + entropy, value, atol=1e-5)
    cold = losses.munchausen_bonus(jnp.float32([[0.0, 1000.0]]), jnp.array([0]), 1e-3)
    assert np.isfinite(cold).all()


@pytest.mark.parametrize("kind", ["expected", "categorical", "quantile"])
def test_objectives_target_the_same_mean_and_stop_its_gradient(kind: str) -> None:
    """For every objective: the priority vanishes at the target, and only the prediction learns."""
    atoms = jnp.linspace(-10.0, 10.0, 41)
    pi, a_tm1 = jnp.float32([[0.25, 0.75]]), jnp.array([1])
    if kind == "expected":
        objective, output_t = objectives.expected(), jnp.float32([[1.0, 2.0]])
        output_tm1 = jnp.float32([[0.0, 1 + 0.5 * 1.75]])
    elif kind == "categorical":
        objective, logits = objectives.categorical(atoms), jnp.float32(normal(1, 1, 2, 41))
        mixture = jnp.einsum("na,nak->nk", pi, jax.nn.softmax(logits))
        target = losses.categorical_projection(1 + 0.5 * atoms[None], mixture, atoms)
        output_t, output_tm1 = logits, jnp.stack([jnp.zeros((1, 41)), jnp.log(target + 1e-30)], axis=1)
    else:
        tau = networks.midpoints(5)[None]
        objective = objectives.quantile(0.0)
        output_t = Quantiles(jnp.float32(np.sort(normal(1, 1, 2, 5))), tau)
        target = 1 + 0.5 * jnp.einsum("na,nak->nk", pi, output_t.values)
        output_tm1 = Quantiles(jnp.stack([jnp.zeros((1, 5)), target], axis=1), tau)
    mean = 1 + 0.5 * jnp.sum(pi * objective.values(output_t), axis=-1)
    np.testing.assert_allclose(objective.values(output_tm1)[:, 1], mean, atol=1e-4)
    args = (a_tm1, jnp.ones(1), jnp.full(1, 0.5))
    if kind != "quantile":  # whose loss is that of a random return, and not 0
        np.testing.assert_allclose(objective.loss(output_tm1, *args, output_t, pi)[1], 0, atol=1e-4)
    to_target = jax.grad(lambda out: jnp.sum(objective.loss(output_tm1, *args, out, pi)[0]))(output_t)
    assert all(not np.any(x) for x in jax.tree.leaves(to_target)[:1])


# One state, reward 0 or 1 at even odds, γ = ½: the return is uniform on [0, 2], with quantiles 2τ and variance 1/3.


def binary_expansion(
    objective: objectives.Objective, init: Callable, output: Callable, rate: float, updates: int
) -> Any:
    """Learns the distribution with batches of 64 and a target network copied every 50 updates; the parameters."""
    optimiser = optax.adam(rate)
    params = init(keys.key(0))

    def loss(params: Any, target: Any, key: Any) -> Any:
        k_reward, k_now, k_next = jax.random.split(key, 3)
        reward = jax.random.bernoulli(k_reward, 0.5, (64,)).astype(jnp.float32)
        ones = jnp.ones((64, 1))
        now, after = output(params, k_now, 64), output(target, k_next, 64)
        return jnp.mean(objective.loss(now, jnp.zeros(64, int), reward, jnp.full(64, 0.5), after, ones)[0])

    def update(state: Any, key: Any) -> Any:
        params, target, opt_state, count = state
        gradient = jax.grad(loss)(params, target, key)
        step, opt_state = optimiser.update(gradient, opt_state)
        params = optax.apply_updates(params, step)
        target = jax.tree.map(lambda a, b: jnp.where(count % 50 == 49, a, b), params, target)
        return (params, target, opt_state, count + 1), None

    start = (params, params, optimiser.init(params), jnp.int32(0))
    learn = jax.jit(lambda s, k: jax.lax.scan(update, s, k)[0][0], compiler_options=THOROUGH)
    return learn(start, jax.random.split(keys.key(1), updates))


def test_c51_learns_the_uniform_return() -> None:
    atoms = jnp.linspace(0.0, 2.0, 51)
    spread = lambda params, key, n: jnp.broadcast_to(params, (n, 1, 51))  # noqa: E731
    logits = binary_expansion(objectives.categorical(atoms), lambda key: jnp.zeros((1, 1, 51)), spread, 1e-2, 5_000)
    p = softmax(np.asarray(logits[0, 0]))
    distance = np.abs(np.cumsum(p)[:-1] - np.linspace(0, 1, 51)[:-1] - 0.01).sum() * 0.04
    assert distance <= 0.03, distance
    np.testing.assert_allclose(p @ atoms, 1, atol=0.03)


@cache
def fixed_quantiles() -> np.ndarray:
    """Quantiles `[2, 51]` learned with κ = 0 and κ = 1."""
    tau = networks.midpoints(51)

    def output(params: Any, key: Any, n: int) -> Quantiles:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape[1:])), Quantiles(params, tau[None]))

    def learn(kappa: Any) -> Any:
        init = lambda key: jnp.zeros((1, 1, 51))  # noqa: E731
        return binary_expansion(objectives.quantile(kappa), init, output, 5e-3, 20_000)[0, 0]

    return np.asarray(jax.vmap(learn)(jnp.array([0.0, 1.0])))


def test_qr_dqn_learns_the_uniform_return() -> None:
    q, tau = fixed_quantiles()[0], np.asarray(networks.midpoints(51))
    assert np.abs(q - 2 * tau).mean() <= 0.02
    np.testing.assert_allclose(q.var(), 1 / 3, atol=0.01)


def test_kappa_of_the_returns_scale_gives_expectiles() -> None:
    np.testing.assert_allclose(fixed_quantiles()[1].var(), 0.106, atol=0.01)


@cache
def sampled_quantiles() -> tuple[np.ndarray, np.ndarray]:
    """Quantiles `[2, 50]` that an implicit head learned with κ = 0 and κ = 1, and their levels `[50]`."""
    head = networks.ImplicitQ(1, hidden=(64,), samples=8, embedding=64)

    def output(params: Any, key: Any, n: int) -> Any:
        return head.apply(params, jnp.ones((n, 16)), rngs={"noise": key})

    def learn(kappa: Any) -> Any:
        init = lambda key: head.init(key, jnp.ones((1, 16)))  # noqa: E731
        params = binary_expansion(objectives.quantile(kappa), init, output, 1e-3, 4_000)
        return head.clone(samples=50).apply(params, jnp.ones((1, 16)))

    q = jax.vmap(learn)(jnp.array([0.0, 1.0]))
    return np.asarray(q.values[:, 0, 0]), np.asarray(q.tau[0, 0])


def test_iqn_learns_the_uniform_return() -> None:
    q, tau = sampled_quantiles()
    assert np.abs(q[0] - 2 * tau).mean() <= 0.08
    np.testing.assert_allclose(q[0].var(), 1 / 3, atol=0.06)


def test_kappa_of_the_returns_scale_gives_expectiles_from_samples_too() -> None:
    q, tau = sampled_quantiles()
    np.testing.assert_allclose(q[1].var(), 0.106, atol=0.03)
    assert np.abs(q[1] - 2 * tau).mean() > 0.2


def test_atoms_of_next_to_no_mass_still_learn() -> None:
    """The gradient is p - m whatever p is; probabilities clipped from below have none where they are clipped."""
    logits, target = jnp.array([0.0, -30.0]), jnp.array([0.2, 0.8])
    gradient = jax.grad(lambda x: losses.categorical_cross_entropy(x, target))(logits)
    np.testing.assert_allclose(gradient, [0.8, -0.8], atol=1e-6)
