import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import Categorical, Categoricals, Gaussian, TanhGaussian

LOW, HIGH = np.array([-2.0, 0.5]), np.array([3.0, 0.75])
LOGITS = np.array([[0.0, 1.0, -2.0, 0.5], [3.0, 3.0, 3.0, 3.0]])
MEAN, LOG_STD = np.array([0.4, -1.2]), np.array([-0.3, 0.5])


def f32(*arrays):
    return tuple(jnp.asarray(x, jnp.float32) for x in arrays)


def gaussian():
    return Gaussian(*f32(MEAN, LOG_STD))


def categoricals():
    logits = np.random.default_rng(3).normal(size=(4, 2, 3)).astype(np.float32)
    logits[:, 0, 2] = -np.inf  # two and three numbers
    return Categoricals(jnp.asarray(logits))


def test_several_categoricals_are_their_product():
    """Against the one categorical over all pairs."""
    several, other = categoricals(), Categoricals(categoricals().logits[::-1])
    joint, other_joint = (
        Categorical((d.logits[:, 0, :2, None] + d.logits[:, 1, None, :]).reshape(4, 6)) for d in (several, other)
    )
    np.testing.assert_allclose(several.entropy(), joint.entropy(), rtol=1e-5)
    np.testing.assert_allclose(several.kl(other), joint.kl(other_joint), rtol=1e-5)
    pairs = np.broadcast_to(np.stack(np.divmod(np.arange(6, dtype=np.int32), 3), -1), (4, 6, 2))
    for i in range(6):
        pair, number = jnp.asarray(pairs[:, i]), jnp.full(4, i, jnp.int32)
        np.testing.assert_allclose(several.log_prob(pair), joint.log_prob(number), rtol=1e-5)
    np.testing.assert_array_equal(several.mode() @ np.array([3, 1]), joint.mode())
    drawn, log_prob = Categoricals(jnp.repeat(several.logits[:1], 20_000, 0)).sample_and_log_prob(jax.random.key(0))
    frequency = np.bincount(drawn @ np.array([3, 1]), minlength=6) / 20_000
    np.testing.assert_allclose(frequency, jax.nn.softmax(joint.logits[0]), atol=0.02)
    np.testing.assert_allclose(log_prob, several._replace(logits=several.logits[:1]).log_prob(drawn), rtol=1e-5)
    slope = jax.grad(lambda logits: Categoricals(logits).log_prob(jnp.zeros((4, 2), jnp.int32)).sum())(several.logits)
    assert np.isfinite(slope).all()


def tanh_gaussian(mean=MEAN, log_std=LOG_STD):
    return TanhGaussian(*f32(mean, log_std, LOW, HIGH))


@functools.partial(jax.jit, static_argnames="n")
def many(distribution, key, n):
    """Actions [n, ...] and their log-probabilities [n], drawn at once."""
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (n, *x.shape)), distribution)
    action, log_prob = wide.sample_and_log_prob(key)
    return action, log_prob, wide.log_prob(action)


def normal_log_density(x, mean, log_std):
    return -0.5 * ((x - mean) / np.exp(log_std)) ** 2 - log_std - 0.5 * np.log(2 * np.pi)


def squashed_log_density(action):
    y = 2 * (action - LOW) / (HIGH - LOW) - 1
    return (normal_log_density(np.arctanh(y), MEAN, LOG_STD) - np.log((HIGH - LOW) / 2 * (1 - y**2))).sum(-1)


def test_categorical_frequencies_follow_the_probabilities():
    n = 40_000
    probs = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    action, log_prob, again = many(Categorical(jnp.float32(LOGITS)), jax.random.key(0), n)
    assert action.dtype == jnp.int32 and action.shape == (n, 2)
    for row in range(2):
        frequency = np.bincount(action[:, row], minlength=4) / n
        np.testing.assert_allclose(frequency, probs[row], atol=4 * np.sqrt(0.25 / n))
        np.testing.assert_allclose(log_prob[:, row], np.log(probs[row])[action[:, row]], rtol=1e-5)
    np.testing.assert_array_equal(log_prob, again)


def test_categorical_never_draws_a_forbidden_action():
    logits = jnp.where(jnp.arange(7) % 3 == 1, jnp.linspace(-1.0, 5.0, 7), -jnp.inf)
    actions = np.asarray(many(Categorical(logits), jax.random.key(1), 50_000)[0])
    assert set(actions) == {1, 4}


def test_categorical_entropy_and_kl():
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)
    a, b = Categorical(jnp.float32(LOGITS)), Categorical(jnp.float32(LOGITS[::-1]))
    np.testing.assert_allclose(a.entropy(), -(p * np.log(p)).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(a.kl(b), (p * np.log(p / p[::-1])).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(a.kl(a), [0, 0], atol=1e-7)
    np.testing.assert_array_equal(a.mode(), [1, 0])


def test_categorical_is_finite_with_its_gradients_at_extremes():
    def total(logits):
        d, uniform = Categorical(logits), Categorical(jnp.zeros((2, 4)))
        return jnp.sum(d.entropy() + d.log_prob(jnp.array([1, 1])) + d.kl(uniform))

    for logits in (jnp.float32([[0, 0, -jnp.inf, 0], [0, 0, 0, -jnp.inf]]), jnp.float32(1e8 * LOGITS)):
        value, grad = jax.value_and_grad(total)(logits)
        assert np.isfinite(value) and np.isfinite(grad).all()


def test_gaussian_moments_density_and_divergence():
    n = 40_000
    d = gaussian()
    action, log_prob, again = many(d, jax.random.key(2), n)
    std = np.exp(LOG_STD)
    np.testing.assert_allclose(action.mean(0), MEAN, atol=4 * std.max() / np.sqrt(n))
    np.testing.assert_allclose(action.std(0), std, rtol=0.02)
    expected = normal_log_density(np.asarray(action, np.float64), MEAN, LOG_STD).sum(-1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(log_prob, again)
    assert d.entropy() == pytest.approx(-expected.mean(), abs=0.03)
    other = Gaussian(*f32(MEAN + 0.5, LOG_STD - 0.4))
    sampled = expected - normal_log_density(np.asarray(action, np.float64), MEAN + 0.5, LOG_STD - 0.4).sum(-1)
    assert d.kl(other) == pytest.approx(sampled.mean(), abs=0.05)
    assert d.kl(d) == pytest.approx(0, abs=1e-7)
    np.testing.assert_array_equal(d.mode(), d.mean)


@pytest.mark.parametrize("make", [gaussian, tanh_gaussian])
def test_density_integrates_to_one(make):
    d = make()
    squashed = isinstance(d, TanhGaussian)
    if squashed:  # narrower, so that a plain grid resolves the edges
        d = d._replace(log_std=d.log_std - 1)
    low, high = (LOW, HIGH) if squashed else (np.full(2, -12.0), np.full(2, 12.0))
    n = 600
    axes = [lo + (hi - lo) * (np.arange(n) + 0.5) / n for lo, hi in zip(low, high, strict=True)]
    grid = jnp.float32(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2))
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, grid.shape), d)
    mass = np.exp(np.float64(wide.log_prob(grid))).sum() * np.prod((high - low) / n)
    assert mass == pytest.approx(1, abs=2e-3)


def test_squashed_density_is_the_change_of_variables():
    action, log_prob, again = many(tanh_gaussian(), jax.random.key(3), 20_000)
    action = np.asarray(action, np.float64)
    assert (action > LOW).all() and (action < HIGH).all()
    inner = (np.abs(2 * (action - LOW) / (HIGH - LOW) - 1) < 0.99).all(-1)  # float32 tells 1 - |y| well enough
    assert inner.mean() > 0.7
    np.testing.assert_allclose(log_prob[inner], squashed_log_density(action[inner]), atol=2e-3)
    np.testing.assert_allclose(again[inner], squashed_log_density(action[inner]), atol=2e-3)


def test_squashed_moments():
    action, log_prob, _ = many(tanh_gaussian(), jax.random.key(4), 40_000)
    z = np.linspace(-8, 8, 4001)[:, None]
    weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    expected = (weight * (LOW + (HIGH - LOW) * 0.5 * (np.tanh(MEAN + np.exp(LOG_STD) * z) + 1))).sum(0)
    np.testing.assert_allclose(action.mean(0), expected, atol=0.03)
    assert tanh_gaussian().entropy() == pytest.approx(-np.float64(log_prob).mean(), abs=0.03)
    mode = LOW + (HIGH - LOW) * 0.5 * (np.tanh(MEAN) + 1)
    np.testing.assert_allclose(tanh_gaussian().mode(), mode, rtol=1e-6)
    other = tanh_gaussian(MEAN + 0.5, LOG_STD - 0.4)
    assert tanh_gaussian().kl(other) == gaussian().kl(Gaussian(other.mean, other.log_std))


@pytest.mark.parametrize(("log_std", "tolerance"), [(-20, 1e-4), (-2, 1e-4), (0, 1e-3), (1.5, 1e-1), (2, 1e-1)])
def test_squashed_entropy_is_as_exact_as_it_says(log_std, tolerance):
    z = np.linspace(-10, 10, 100_001)
    weight = np.exp(-0.5 * z**2) / np.exp(-0.5 * z**2).sum()
    mean = np.array([0.0, 0.3, 2.0, 20.0])
    u = mean[:, None] + np.exp(log_std) * z
    slope = 2 * (np.log(2) - u - np.logaddexp(0, -2 * u))
    expected = log_std + 0.5 * np.log(2 * np.pi * np.e) + (weight * slope).sum(-1)
    ones = np.ones((4, 1))
    d = TanhGaussian(*f32(mean[:, None], log_std * ones, -ones, ones))
    np.testing.assert_allclose(d.entropy(), expected, atol=tolerance)


@jax.jit
@functools.partial(jax.value_and_grad, argnums=(0, 1))
def at_bounds(mean, log_std):
    d = TanhGaussian(mean, log_std, *f32(LOW, HIGH))
    action, log_prob = d.sample_and_log_prob(jax.random.key(0))
    return jnp.sum(action) + log_prob + d.log_prob(d.low) + d.log_prob(d.high) + d.entropy()


@pytest.mark.parametrize("mean", [0.0, 40.0, -1e3])
@pytest.mark.parametrize("log_std", [-20.0, 2.0])
def test_squashed_density_is_finite_with_its_gradients_at_extremes(mean, log_std):
    value, grads = at_bounds(jnp.full(2, mean), jnp.full(2, log_std))
    assert np.isfinite(value) and np.isfinite(grads).all()


def test_samples_never_leave_the_bounds():
    action = np.asarray(many(tanh_gaussian(MEAN * 0 + 30), jax.random.key(5), 100)[0])
    assert (action <= np.float32(HIGH)).all() and (action >= np.float32(LOW)).all()


@pytest.mark.parametrize("make", [lambda: Categorical(jnp.float32(LOGITS[0])), gaussian, tanh_gaussian])
def test_vmapped_equals_batched(make):
    batched = jax.tree.map(lambda x: jnp.stack([x, x + 0.1, x - 0.1]), make())
    if isinstance(batched, TanhGaussian):
        batched = batched._replace(high=batched.high + 1)
    action = batched.mode()
    np.testing.assert_allclose(jax.vmap(lambda d, a: d.log_prob(a))(batched, action), batched.log_prob(action))
    np.testing.assert_allclose(jax.vmap(lambda d: d.entropy())(batched), batched.entropy(), rtol=1e-6)
