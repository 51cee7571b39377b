import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn.initializers import zeros

from envs.base import Box, Discrete
from networks import MLP, FrameTorso, ImpalaCNN, NatureCNN, SmallCNN, Streams, Torso, fan_in_uniform
from networks.torsos import Conv, _max_pool, convolve

PIXELS = np.random.default_rng(0).integers(0, 256, (2, 3, 10, 5, 2), np.uint8)


@functools.partial(jax.jit, static_argnames="module")
def init(module, key, x):
    return module.init(key, x)


@functools.partial(jax.jit, static_argnames="module")
def apply(module, params, x):
    return module.apply(params, x)


def random(module, x):
    """Random parameters, without compiling the initialisers."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), x)
    return jax.tree.map(lambda s: jnp.float32(rng.normal(0, 0.3, s.shape)), shapes)


def both(module, x):
    """Features of x[T, B, ...] and of the same rows as [T * B, ...]."""
    params = random(module, x)
    flat = jax.tree.map(lambda a: a.reshape((-1, *a.shape[2:])), x)
    return apply(module, params, x), apply(module, params, flat)


SPACES = {
    "vector": (Box((4,)), np.float32),
    "matrix": (Box((3, 4)), np.float32),
    "scalar": (Box(()), np.float32),
    "integer scalar": (Box((), 0, 9, np.int32), np.int32),
    "number": (Discrete(5), np.int32),
    "pixels": (Box((10, 5, 2), 0, 255, np.uint8), np.uint8),
    "float image": (Box((10, 5, 2)), np.float32),
}


def observe(space, dtype, lead=(2, 3)):
    return np.random.default_rng(1).integers(0, 5, (*lead, *space.shape)).astype(dtype)


@pytest.mark.parametrize("name", SPACES)
def test_any_leaf_with_one_or_two_leading_axes(name):
    space, dtype = SPACES[name]
    windows, rows = both(Torso(space, (7,), cnn="small"), observe(space, dtype))
    assert windows.shape == (2, 3, 7) and windows.dtype == jnp.float32
    np.testing.assert_array_equal(windows.reshape(rows.shape), rows)
    assert np.abs(windows).sum() > 0


def test_a_dictionary_of_them_all():
    space = {name: space for name, (space, _) in SPACES.items()}
    observation = {name: observe(*pair) for name, pair in SPACES.items()}
    module = Torso(space, (7,), cnn="small")
    windows, rows = both(module, observation)
    assert windows.shape == (2, 3, 7)
    np.testing.assert_array_equal(windows.reshape(rows.shape), rows)
    params = random(module, observation)
    for name in SPACES:  # every entry counts
        changed = {**observation, name: (observation[name] + 1).astype(observation[name].dtype)}
        assert not np.array_equal(apply(module, params, changed), windows), name
    extra = apply(module, params, {**observation, "achieved_goal": np.ones((2, 3, 2), np.float32)})
    np.testing.assert_array_equal(extra, windows)


def test_numbers_are_one_hot():
    module = Torso(Discrete(3), ())
    np.testing.assert_array_equal(module.apply({}, jnp.array([2, 0])), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("module", [SmallCNN((4, 3), 8), ImpalaCNN((4,), 8)], ids=["small", "impala"])
def test_bytes_are_scaled_once_and_floats_are_not(module):
    params = random(module, PIXELS)
    by_bytes = apply(module, params, PIXELS)
    assert by_bytes.shape == (2, 3, 8) and np.abs(by_bytes).sum() > 0
    by_floats = apply(module, params, PIXELS.astype(np.float32) / 255)
    np.testing.assert_allclose(by_bytes, by_floats, rtol=1e-4, atol=1e-4)
    assert not np.allclose(by_bytes, apply(module, params, PIXELS.astype(np.float32)))


def test_flattened_bytes_are_scaled_too():
    module = Torso(Box((10, 5, 2), 0, 255, np.uint8), (), cnn=None)
    features = module.apply({}, PIXELS)
    np.testing.assert_allclose(features, PIXELS.reshape(2, 3, -1) / np.float32(255), rtol=1e-6)
    text = Torso(Box((96,), 0, 255, np.uint8), ())
    letters = PIXELS.reshape(6, 100)[:, :96]
    np.testing.assert_allclose(text.apply({}, letters), letters / np.float32(255), rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "scale"),
    [
        (Box((4,), 0, 1, np.uint8), 1),
        (Box((4,), 0, np.array([1, 4, 20, 255]), np.uint8), np.array([1, 4, 20, 255])),
        (Box((4,), 0, 0, np.uint8), 255),
        (Box((4,), dtype=np.uint8), 255),
        (Box((2, 2), 0, 4, np.uint8), 4),
        (Box((4,), 0, 1000, np.int32), 1),
        (Box((4,), 0, 255, np.float32), 1),
    ],
)
def test_bytes_are_scaled_by_their_bound_and_other_numbers_are_not(space, scale):
    x = np.array([[0, 1, 1, 0], [1, 4, 20, 200]]).astype(space.dtype)
    features = Torso(space, ()).apply({}, x.reshape((2, *space.shape)))
    np.testing.assert_allclose(features, x / np.float32(scale), rtol=1e-6)
    standardised = np.random.default_rng(0).normal(size=(2, *space.shape)).astype(np.float32)
    np.testing.assert_array_equal(Torso(space, ()).apply({}, standardised), standardised.reshape(2, 4))


def test_images_and_frames_are_scaled_by_their_bound():
    x = np.random.default_rng(0).integers(0, 5, (2, 10, 10, 2), np.uint8)
    for module in (Torso(Box((10, 10, 2), 0, 4, np.uint8), (7,), cnn="small"), FrameTorso((4,), 7, scale=4.0)):
        params = random(module, x)
        np.testing.assert_allclose(apply(module, params, x), apply(module, params, np.float32(x) / 4), rtol=1e-5)


def test_two_streams_scale_bytes_by_their_bound_too():
    space = {"observation": Box((3,), 0, 1, np.uint8), "desired_goal": Box((3,), 0, 3, np.uint8)}
    module = Streams(space, (5,))
    raw = {"observation": np.array([[0, 1, 1]], np.uint8), "desired_goal": np.array([[3, 0, 1]], np.uint8)}
    floats = {"observation": np.float32(raw["observation"]), "desired_goal": raw["desired_goal"] / np.float32(3)}
    params = random(module, raw)
    np.testing.assert_allclose(apply(module, params, raw), apply(module, params, floats), rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_nature_torso_has_3136_features_and_a_known_number_of_parameters(dtype):
    module = NatureCNN(dtype=dtype)
    image = np.zeros((1, 84, 84, 4), np.uint8)
    params = jax.eval_shape(module.init, jax.random.key(0), image)
    assert params["params"]["Dense_0"]["kernel"].shape == (3136, 512)
    assert sum(p.size for p in jax.tree.leaves(params)) == 1_684_128
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    out = jax.eval_shape(module.apply, params, image)
    assert out.shape == (1, 512) and out.dtype == jnp.float32


def test_nature_torso_runs_and_tells_images_apart():
    module = Torso(Box((36, 36, 1), 0, 255, np.uint8), (8,), cnn="nature")
    images = np.random.default_rng(0).integers(0, 256, (2, 36, 36, 1), np.uint8)
    out = apply(module, random(module, images), images)
    assert out.shape == (2, 8) and not np.array_equal(out[0], out[1])


@pytest.mark.parametrize(("kernel", "stride", "channels"), [(8, 4, 5), (4, 2, 5), (3, 1, 5), (3, 1, 2), (3, 2, 5)])
def test_convolution_as_a_product_is_the_convolution(kernel, stride, channels):
    rng = np.random.default_rng(0)
    x, w = jnp.float32(rng.normal(size=(2, 21, 20, 3))), jnp.float32(rng.normal(size=(kernel, kernel, 3, channels)))
    own, xla = (convolve(x, w, stride, as_product) for as_product in (True, False))
    np.testing.assert_allclose(own, xla, rtol=1e-4, atol=1e-4)


def test_same_convolution_and_pooling_agree_with_xla():
    x = jnp.float32(np.random.default_rng(0).normal(size=(2, 9, 8, 3)))
    module = Conv(4, 3, same=True)
    params = random(module, x)
    numbers = ("NHWC", "HWIO", "NHWC")
    kernel = params["params"]["kernel"]
    expected = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
    expected += params["params"]["bias"]
    np.testing.assert_allclose(module.apply(params, x), expected, rtol=1e-4, atol=1e-5)
    pooled = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 3, 3, 1), (1, 2, 2, 1), "SAME")
    np.testing.assert_array_equal(_max_pool(x), pooled)


def test_mlp_layers():
    x = jnp.ones((5, 3)) * jnp.arange(3.0)[None]
    normed = MLP((4, 2), layer_norm=True)
    params = jax.eval_shape(normed.init, jax.random.key(0), x)["params"]
    assert [params[f"Dense_{i}"]["kernel"].shape for i in (0, 1)] == [(3, 4), (4, 2)]
    assert set(params) == {"Dense_0", "Dense_1", "LayerNorm_0", "LayerNorm_1"}
    # Weights and biases 1, linear at the end: 3·1 → relu, then 4·… + 1.
    ones = MLP((4, 2), kernel_init=jax.nn.initializers.ones, activate_final=False)
    np.testing.assert_array_equal(ones.apply(ones.init(jax.random.key(0), -x), -x), np.zeros((5, 2)))
    np.testing.assert_array_equal(ones.apply(ones.init(jax.random.key(0), x), x), np.full((5, 2), 12.0))


def test_fan_in_uniform_bounds_kernels_and_biases_by_the_inputs_of_their_layer():
    module = MLP((300, 400), kernel_init=fan_in_uniform(), bias_init=fan_in_uniform())
    params = init(module, jax.random.key(0), jnp.ones((1, 16)))["params"]
    for layer, fan_in in (("Dense_0", 16), ("Dense_1", 300)):
        for array in params[layer].values():
            peak = np.abs(array).max() * np.sqrt(fan_in)
            assert 0.95 < peak <= 1, (layer, peak)
            assert np.std(array) * np.sqrt(3 * fan_in) == pytest.approx(1, abs=0.1)
    module = Conv(64, 3, kernel_init=fan_in_uniform(), bias_init=fan_in_uniform())
    params = init(module, jax.random.key(0), jnp.ones((1, 5, 5, 4)))["params"]
    for array in params.values():
        assert 0.9 < np.abs(array).max() * 6 <= 1


def test_orthogonal_columns_and_different_keys():
    kernels = [
        np.asarray(init(MLP((8,)), jax.random.key(seed), jnp.ones((1, 32)))["params"]["Dense_0"]["kernel"])
        for seed in (0, 1)
    ]
    np.testing.assert_allclose(kernels[0].T @ kernels[0], 2 * np.eye(8), atol=1e-5)
    assert not np.allclose(kernels[0], kernels[1])


def test_modules_are_hashable_whatever_the_space_holds():
    box = Box((2,), np.array([-1.0, -2.0]), np.array([1.0, 2.0]))
    a, b = (Torso({"x": box, "n": Discrete(2)}, [3], kernel_init=zeros) for _ in range(2))
    assert hash(a) == hash(b) and a == b
    assert a != Torso({"x": box, "n": Discrete(3)}, [3], kernel_init=zeros)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Torso("image"), "space: 'image'"),
        (lambda: Torso({}), "space"),
        (lambda: Torso({"x": Box((0,))}), "has no elements"),
        (lambda: Torso({"x": {"y": Box((2,))}}), "is not a Box, a Discrete or a non-empty dict of them"),
        (lambda: Torso(Box((3,)), cnn="resnet"), "cnn: 'resnet' is not one of 'nature', 'impala', 'small' or None"),
        (lambda: Torso(Box((3,)), (8, 0)), "mlp_sizes"),
        (lambda: MLP((-1,)), "sizes"),
        (lambda: ImpalaCNN(channels=(0,)), "channels"),
        (lambda: Torso(Box((3,))).apply({}, np.zeros((2, 4), np.float32)), "shape"),
        (lambda: Torso({"x": Box((3,))}).apply({}, {"y": np.zeros((2, 3))}), "observation: has no entry 'x'"),
        (lambda: NatureCNN().apply({}, np.zeros((1, 10, 10, 3))), "NatureCNN"),
        (lambda: SmallCNN((4, 4)).apply({}, np.zeros((1, 10, 4, 3))), "at least 5"),
    ],
)
def test_bad_arguments_are_named(make, says):
    with pytest.raises(ValueError, match=says):
        make()
