import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import FIRST
from envs.base import Box, Discrete
from networks import (
    GRU,
    LSTM,
    MLP,
    CategoricalPolicy,
    GaussianPolicy,
    QValues,
    TanhGaussianPolicy,
    Torso,
    Value,
    fan_in_uniform,
)

T, B, A = 4, 3, 2
SPACE = {"x": Box((3,)), "n": Discrete(2)}
OBSERVATION = {
    "x": np.random.default_rng(0).normal(size=(T, B, 3)).astype(np.float32),
    "n": np.random.default_rng(1).integers(0, 2, (T, B)).astype(np.int32),
}
FIRSTS = np.array([[0, 1, 1], [1, 1, 1], [1, 1, 0], [1, 1, 1]]) == FIRST


INIT = fan_in_uniform()  # compiles sooner than orthogonal


def torso():
    return Torso(SPACE, (6,), kernel_init=INIT)


def at(t):
    return jax.tree.map(lambda x: x[t], OBSERVATION)


def random(network):
    """Random parameters, without compiling the initialisers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, jax.random.key(0), at(0))
    return jax.tree.map(lambda s: jnp.float32(rng.normal(0, 0.3, s.shape)), shapes)


NETWORKS = {
    "q": networks.q_network(torso(), QValues(A, INIT)),
    "q, lstm": networks.q_network(torso(), QValues(A, INIT), LSTM(5, INIT)),
    "shared": networks.actor_critic(torso(), CategoricalPolicy(A, INIT), Value(INIT)),
    "shared, gru": networks.actor_critic(torso(), CategoricalPolicy(A, INIT), Value(INIT), GRU(5, INIT)),
    "separate": networks.actor_critic(torso(), GaussianPolicy(A, kernel_init=INIT), Value(INIT), critic_torso=torso()),
    "separate, lstm": networks.actor_critic(
        torso(), TanhGaussianPolicy(A, -2.0, kernel_init=INIT), Value(INIT), LSTM(5, INIT), torso()
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_a_window_equals_its_steps_and_its_lanes(name):
    network = NETWORKS[name]
    params = random(network)
    apply, key = jax.jit(network.apply), jax.random.key(1)
    output, carry = apply(params, key, network.begin(B), OBSERVATION, FIRSTS)
    assert {x.shape[:2] for x in jax.tree.leaves(output)} == {(T, B)}

    stepped, rows = network.begin(B), []
    for t in range(T):
        row, stepped = apply(params, key, stepped, jax.tree.map(lambda x: x[None], at(t)), FIRSTS[t : t + 1])
        rows.append(row)
    window = jax.tree.map(lambda *xs: jnp.concatenate(xs), *rows)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), (output, carry), (window, stepped))

    if "," in name:
        return
    assert carry == ()
    assert "scan" not in str(jax.make_jaxpr(network.apply)(params, key, (), OBSERVATION, FIRSTS))


def test_output_shapes():
    def output(name):
        network = NETWORKS[name]
        params = jax.eval_shape(network.init, jax.random.key(0), at(0))
        carry = jax.eval_shape(lambda: network.begin(B))
        return jax.eval_shape(network.apply, params, jax.random.key(0), carry, OBSERVATION, FIRSTS)[0]

    assert output("q").shape == (T, B, A)
    policy, value = output("shared")
    assert isinstance(policy, networks.Categorical) and policy.logits.shape == (T, B, A) and value.shape == (T, B)
    policy, value = output("separate")
    assert isinstance(policy, networks.Gaussian) and policy.log_std.shape == (T, B, A) and value.shape == (T, B)
    policy, value = output("separate, lstm")
    assert isinstance(policy, networks.TanhGaussian) and policy.low.shape == (T, B, A) and value.shape == (T, B)


def test_seeds_differ_and_vmap():
    network = NETWORKS["separate, lstm"]
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.jit(jax.vmap(network.init, (0, None)))(keys, at(0))
    drawn = {jax.tree_util.keystr(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params)}
    drawn = {path: leaf for path, leaf in drawn.items() if "bias" not in path}
    assert len(drawn) == 8, "torso and head of either, and two matrices of each core"
    for path, leaf in drawn.items():
        assert not np.allclose(leaf[0], leaf[1]), path
    carry = jax.vmap(lambda _: network.begin(B))(keys)
    apply = jax.jit(jax.vmap(network.apply, (0, 0, 0, None, None)))
    (_, values), _ = apply(params, keys, carry, OBSERVATION, FIRSTS)
    one = jax.tree.map(lambda x: x[1], params)
    (_, alone), _ = jax.jit(network.apply)(one, keys[1], network.begin(B), OBSERVATION, FIRSTS)
    np.testing.assert_allclose(values[1], alone, atol=1e-5)


def test_a_separate_critic_shares_nothing_with_the_actor():
    network = NETWORKS["separate, lstm"]
    params = random(network)
    assert set(params) == {"torso", "core", "policy", "value", "critic_torso", "critic_core"}

    def value(params):
        return jnp.sum(network.apply(params, jax.random.key(0), network.begin(B), OBSERVATION, FIRSTS)[0][1])

    grads = jax.jit(jax.grad(value))(params)
    touched = {part for part, tree in grads.items() if any(np.any(x) for x in jax.tree.leaves(tree))}
    assert touched == {"value", "critic_torso", "critic_core"}


def test_the_key_reaches_layers_that_draw_noise():
    class Noisy(nn.Module):
        @nn.compact
        def __call__(self, features):
            return features + jax.random.normal(self.make_rng("noise"), features.shape)

    network = networks.q_network(MLP((2,)), Noisy())
    params = network.init(jax.random.key(0), OBSERVATION["x"][0])
    a, b, c = (network.apply(params, jax.random.key(seed), (), OBSERVATION["x"], FIRSTS)[0] for seed in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert not np.allclose(a, c)


def test_initial_policies_are_nearly_neutral():
    features = np.random.default_rng(0).normal(size=(50, 64)).astype(np.float32)
    policy = CategoricalPolicy(4)
    categorical = policy.apply(policy.init(jax.random.key(0), features), features)
    np.testing.assert_allclose(categorical.entropy(), np.log(4), atol=1e-2)
    policy = GaussianPolicy(3, log_std_init=-0.5)
    gaussian = policy.apply(policy.init(jax.random.key(0), features), features)
    assert np.abs(gaussian.mean).max() < 0.1
    np.testing.assert_array_equal(gaussian.log_std, np.full((50, 3), -0.5, np.float32))


def test_a_state_dependent_spread_depends_on_the_state():
    features = np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32)
    policy = GaussianPolicy(3, log_std_init=-1.0, state_dependent=True)
    log_std = policy.apply(policy.init(jax.random.key(0), features), features).log_std
    assert log_std.shape == (5, 3) and np.std(log_std[:, 0]) > 0
    assert np.mean(log_std) == pytest.approx(-1, abs=0.1)


def test_tanh_policy_clips_its_spread_and_keeps_its_bounds():
    features = 1e4 * np.random.default_rng(0).normal(size=(50, 8)).astype(np.float32)
    policy = TanhGaussianPolicy(2, [-1, 0], np.array([1, 5]))
    squashed = policy.apply(policy.init(jax.random.key(0), features), features)
    assert squashed.log_std.min() == -20 and squashed.log_std.max() == 2
    np.testing.assert_array_equal(squashed.low[7], [-1, 0])
    np.testing.assert_array_equal(squashed.high[7], [1, 5])
    assert hash(policy) == hash(policy.clone())


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (-np.inf, 1.0, "low: -inf"),
        (-1.0, [1.0, 1.0, 1.0], "high"),
        ([0.0, 1.0], [1.0, 1.0], "low: .* must be below high"),
    ],
)
def test_bad_bounds_are_named(low, high, says):
    with pytest.raises(ValueError, match=says):
        TanhGaussianPolicy(2, low, high)
