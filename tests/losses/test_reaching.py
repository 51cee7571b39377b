"""Losses of reaching goals, against float64 numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses


def single(*arrays):
    return [jnp.asarray(x, jnp.float32) for x in arrays]


def close(found, expected, rtol=2e-5):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6)


def test_an_expectile_can_be_judged_by_another_sign():
    u, a = np.array([-2.0, 1.0, 3.0, 0.5]), np.array([1.0, -1.0, 1.0, 0.0])
    close(losses.judged_expectile(*single(u, a), 0.9), np.where(a < 0, 0.1, 0.9) * u**2)
    slope = jax.grad(lambda u, a: losses.judged_expectile(u, a, 0.9).sum(), (0, 1))(*single(u, a))
    close(slope[0], 2 * np.where(a < 0, 0.1, 0.9) * u)
    assert not np.any(slope[1])


def test_contrasts_are_cross_entropies_against_the_identity():
    rng = np.random.default_rng(0)
    phi, psi = rng.normal(size=(2, 5, 4)), rng.normal(size=(2, 5, 4))
    f = np.einsum("end,emd->enm", phi, psi) / 2.0
    close(losses.similarities(*single(phi, psi)), f)
    p = 1 / (1 + np.exp(-f))
    entropy = -np.where(np.eye(5), np.log(p), np.log(1 - p))
    close(losses.contrastive(*single(f)), entropy.mean(-1))
    # Its gradient vanishes at ln p(j|i) - ln p(j) - ln(N - 1) in expectation: here over all permutations of two goals.
    joint = np.array([[0.4, 0.1], [0.2, 0.3]])  # of states and goals
    best = np.log(joint / np.outer(joint.sum(1), joint.sum(0)))

    def expected(f):
        pairs = [(s, g, t, h) for s in (0, 1) for g in (0, 1) for t in (0, 1) for h in (0, 1)]
        weigh = lambda s, g, t, h: joint[s, g] * joint[t, h]  # noqa: E731
        batch = lambda s, g, t, h: jnp.stack([jnp.stack([f[s, g], f[s, h]]), jnp.stack([f[t, g], f[t, h]])])  # noqa: E731
        return sum(weigh(*each) * jnp.mean(losses.contrastive(batch(*each))) for each in pairs)

    np.testing.assert_allclose(jax.grad(expected)(*single(best)), 0, atol=1e-6)


def union(x, y):
    """Length of the union of the intervals [x, max(x, y)], by walking over all their ends."""
    ends = np.maximum(x, y)
    cuts = np.unique(np.concatenate([x, ends]))
    middles = (cuts[1:] + cuts[:-1]) / 2
    return sum(b - a for a, b, m in zip(cuts, cuts[1:], middles, strict=False) if ((x < m) & (m < ends)).any())


def maxmean(x, y, mix):
    """The quasimetric of vectors of 12 numbers, in components of 4."""
    parts = [union(a, b) for a, b in zip(x.reshape(3, 4), y.reshape(3, 4), strict=True)]
    return mix * np.mean(parts) + (1 - mix) * np.max(parts)


def test_the_interval_quasimetric_is_the_length_of_unions():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 12)), rng.normal(size=(6, 12))
    x[0, :4] = 0.5  # several that begin together
    for mix in (0.0, 0.3, 1.0):
        expected = [maxmean(a, b, mix) for a, b in zip(x, y, strict=True)]
        close(losses.interval_quasimetric(*single(x, y), mix, 4), expected)
    found = jax.grad(lambda x, y: losses.interval_quasimetric(x, y, 0.3, 4), (0, 1))(*single(x[1], y[1]))
    for number, slope in enumerate(found):
        for place in range(12):
            step = 1e-3 * np.eye(12)[place]
            near = lambda by, number=number: maxmean(x[1] + by * (number == 0), y[1] + by * (number == 1), 0.3)  # noqa: E731
            np.testing.assert_allclose(slope[place], (near(step) - near(-step)) / 2e-3, atol=1e-3)


def test_it_is_a_quasimetric():
    rng = np.random.default_rng(2)
    x, y, z = single(*rng.normal(size=(3, 200, 16)))
    d = lambda x, y: np.asarray(losses.interval_quasimetric(x, y, 0.5))  # noqa: E731
    assert not d(x, x).any() and (d(x, y) > 0).all()
    assert (d(x, z) <= d(x, y) + d(y, z) + 1e-5).all()
    assert np.abs(d(x, y) - d(y, x)).max() > 0.5


@pytest.mark.parametrize("far", [0.0, 400.0, 900.0])
def test_states_are_pushed_apart_less_and_less(far):
    close(losses.spread(*single([far]), 500.0, 100.0), [100 * np.log1p(np.exp((500 - far) / 100))])
    slope = jax.grad(lambda d: losses.spread(d).sum())(jnp.float32(far))
    close(slope, -1 / (1 + np.exp((far - 500) / 100)))


def test_only_steps_that_are_too_long_count():
    close(losses.overlong(*single([0.2, 1.0, 1.5, 3.0])), [0, 0, 0.25, 4])
    close(losses.overlong(*single([3.0]), 2.0), [1])
