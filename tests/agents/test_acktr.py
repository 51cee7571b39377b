"""K-FAC against exact Fisher matrices, and ACKTR against the same steps without curvature."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.acktr import acktr
from agents.common import kfac
from envs import keys
from envs.base import Box
from envs.tasks.catch import catch
from experiments.drivers.contract import Parts, Schedule
from networks.torsos import Conv
from tests.agents.learning import learned
from tests.agents.listing import actor_critic

A = 3


def linear_policy(x: jax.Array) -> tuple[Any, Any, Any]:
    """A network of one dense layer, its parameters, and its factors from the states `x[N, D]`."""
    network = networks.q_network(networks.Torso(Box(x.shape[1:]), (), cnn=None), networks.CategoricalPolicy(A))
    params = network.init(keys.key(0), x)
    params = jax.tree.map(lambda p: p + jax.random.normal(keys.key(1), p.shape), params)
    policy = lambda params: network.apply(params, None, (), x[None], jnp.zeros((1, len(x)), bool))[0]  # noqa: E731
    action = policy(params).sample(keys.key(2))
    a, s = kfac.sampled(lambda params: jnp.sum(policy(params).log_prob(action)), params, len(x))
    (path,) = a
    return np.asarray(jax.nn.softmax(policy(params).logits[0])), np.asarray(a[path]), np.asarray(s[path])


def test_for_one_state_the_factors_give_the_exact_fisher_matrix():
    state = np.array([0.5, -1.0], np.float32)
    probs, a, s = linear_policy(jnp.tile(jnp.asarray(state)[None], (40_000, 1)))
    p, extended = probs[0], np.append(state, 1.0)
    exact = np.kron(np.outer(extended, extended), np.diag(p) - np.outer(p, p))
    np.testing.assert_allclose(np.kron(a, s), exact, atol=0.02)


def test_for_many_states_each_factor_is_its_own_mean():
    x = np.random.default_rng(0).normal(size=(40_000, 2)).astype(np.float32)
    probs, a, s = linear_policy(jnp.asarray(x))
    extended = np.concatenate([x, np.ones((len(x), 1), np.float32)], 1)
    np.testing.assert_allclose(a, extended.T @ extended / len(x), atol=1e-3)
    np.testing.assert_allclose(s, np.diag(probs.mean(0)) - probs.T @ probs / len(x), atol=0.01)


class Convolved(nn.Module):
    """A categorical likelihood whose logits are the sums over the places of one convolution."""

    kernel: int
    stride: int = 1
    same: bool = False

    @nn.compact
    def __call__(self, image: jax.Array) -> jax.Array:
        return jnp.sum(Conv(A, self.kernel, self.stride, self.same)(image), (1, 2))


@pytest.mark.parametrize(("kernel", "stride", "same"), [(2, 1, False), (2, 2, False), (3, 1, True)])
def test_factors_of_a_convolution_are_means_over_patches(kernel: int, stride: int, same: bool) -> None:
    """Against plain loops over places; and the likelihood's gradient is the sum of what they are made of."""
    module, (n, size, channels) = Convolved(kernel, stride, same), (5, 4, 2)
    x = jax.random.normal(keys.key(0), (n, size, size, channels))
    params = module.init(keys.key(1), x)["params"]
    action = jnp.arange(n) % A

    def likelihood(params: Any) -> jax.Array:
        log_p = jax.nn.log_softmax(module.apply({"params": params}, x))
        return jnp.sum(log_p[jnp.arange(n), action])

    a, s = kfac.sampled(likelihood, params, n)
    padded = np.pad(np.asarray(x), ((0, 0), *((kernel // 2,) * 2,) * 2, (0, 0))) if same else np.asarray(x)
    g = np.eye(A)[np.asarray(action)] - np.asarray(jax.nn.softmax(module.apply({"params": params}, x)))
    starts = range(0, padded.shape[1] - kernel + 1, stride)
    patches = np.array(
        [
            [np.append(image[i : i + kernel, j : j + kernel].ravel(), 1.0) for i in starts for j in starts]
            for image in padded
        ]
    )
    np.testing.assert_allclose(a["Conv_0"], np.einsum("ntx,nty->xy", patches, patches) / n, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(s["Conv_0"], g.T @ g / n, rtol=1e-5, atol=1e-5)
    gradient = jax.grad(likelihood)(params)["Conv_0"]
    whole = np.einsum("ntx,ny->xy", patches, g)
    np.testing.assert_allclose(gradient["kernel"].reshape(-1, A), whole[:-1], rtol=1e-4, atol=1e-5)


def test_preconditioning_solves_the_damped_kronecker_system():
    rng, damping = np.random.default_rng(1), 0.1
    root_a, root_s, gradient = rng.normal(size=(3, 3)), rng.normal(size=(2, 2)), rng.normal(size=(3, 2))
    a, s = root_a @ root_a.T, root_s @ root_s.T
    f32 = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    factors = kfac.Factors({"layer": f32(a)}, {"layer": f32(s)}, jnp.float32(1))
    tree = {"layer": {"kernel": f32(gradient[:-1]), "bias": f32(gradient[-1])}, "other": f32([7.0])}
    step = kfac.precondition(factors, tree, damping)
    pi = np.sqrt(np.trace(a) / 3 / (np.trace(s) / 2))
    damped = np.kron(a + pi * damping**0.5 * np.eye(3), s + damping**0.5 / pi * np.eye(2))
    expected = np.linalg.solve(damped, gradient.ravel()).reshape(3, 2)
    np.testing.assert_allclose(np.vstack([step["layer"]["kernel"], step["layer"]["bias"]]), expected, rtol=1e-3)
    assert step["other"] == 7.0


def returns(curvature: bool) -> np.ndarray:
    env = catch()
    settings = {"learning_rate": 0.3, "radius": 0.01, "decay": 0.95, "discount": 0.9, "lambda_": 0.9}
    agent = acktr(actor_critic(env.spec), curvature=curvature, **settings)
    return learned(env, Parts(agent, replay.on_policy(9), Schedule(9)), 120, lanes=16)


def test_it_learns_in_updates_that_do_not_suffice_without_curvature():
    natural, plain = returns(True), returns(False)
    assert (natural > 0.9).all(), natural
    assert natural.mean() > plain.mean() + 0.2, (natural, plain)
