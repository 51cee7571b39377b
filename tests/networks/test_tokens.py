"""Tokens of images and the transformer that goes on with them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from envs import keys
from networks.tokens import joined, patches


@pytest.mark.parametrize(("shape", "patch"), [((6, 4), (3, 2)), ((4, 6, 2), (2, 3))])
def test_patches_are_cut_and_joined(shape, patch):
    image = np.arange(2 * np.prod(shape)).reshape((2, *shape))
    cut = patches(jnp.asarray(image), patch)
    np.testing.assert_array_equal(cut[1, 1].reshape((*patch, -1)), image[1, : patch[0], patch[1] :][..., None].reshape(
        (*patch, -1)))  # fmt: skip
    np.testing.assert_array_equal(joined(cut, shape, patch), image)


@pytest.mark.parametrize(("shape", "patch"), [((6, 4), (1, 1)), ((6, 4), (1, 4)), ((4, 6, 2), (2, 3))])
def test_cells_are_told_without_loss(shape, patch):
    made = networks.cells(shape, patch)
    image = jax.random.bernoulli(keys.key(0), 0.4, (5, *shape)).astype(jnp.float32)
    tokens = made.encode((), image)
    assert tokens.shape == (5, made.number) and (tokens >= 0).all() and (tokens < made.kinds).all()
    np.testing.assert_array_equal(made.decode((), tokens), image)


@pytest.mark.parametrize(
    ("shape", "patch", "told"),
    [((5, 5), (2, 5), "must divide the sides"), ((8,), (1, 1), "must divide"), ((4, 4, 4), (2, 2), "16 bits")],
)
def test_patches_that_do_not_fit_are_refused(shape, patch, told):
    with pytest.raises(ValueError, match=told):
        networks.cells(shape, patch)


def test_a_token_is_the_nearest_code_and_the_gradient_goes_straight_through():
    made = networks.autoencoder((2, 4), (1, 2), kinds=5, size=3, hidden=(8,))
    params = made.init(keys.key(0))
    image = jax.random.uniform(keys.key(1), (4, 2, 4))
    coded, tokens = made.coded(params, image), made.encode(params, image)
    book = np.asarray(params["book"])
    far = ((np.asarray(coded.latent)[:, :, None] - book) ** 2).sum(-1)
    np.testing.assert_array_equal(tokens, far.argmin(-1))
    np.testing.assert_array_equal(coded.code, book[tokens])
    np.testing.assert_allclose(joined(coded.told, (2, 4), (1, 2)), made.decode(params, tokens), atol=1e-5)
    gradients = jax.grad(lambda p: jnp.sum(made.coded(p, image).told))(params)
    assert not np.asarray(gradients["book"]).any(), "the book hears of the code loss alone"
    assert all(np.asarray(x).any() for x in jax.tree.leaves(gradients["inwards"]["Dense_0"]))


def test_the_transformer_goes_on_as_it_reads_whole_sequences():
    module = networks.TokenModel(number=3, kinds=5, actions=2, steps=3, width=8, layers=2, heads=2)
    frames = jax.random.randint(keys.key(0), (2, 3, 3), 0, 5)
    actions = jax.random.randint(keys.key(1), (2, 3), 0, 2)
    params = module.init(keys.key(2), frames, actions)
    whole = module.apply(params, frames, actions)
    cache = module.apply(params, 2, method="fresh")
    for t in range(3):
        seen, cache = module.apply(params, cache, frames[:, t], method="seen")
        np.testing.assert_allclose(seen.token, whole.token[:, t, :3], atol=1e-5)
        done, cache = module.apply(params, cache, actions[:, t], method="done")
        for one, all_of_them in zip(done, whole, strict=True):
            np.testing.assert_allclose(one[:, 0], all_of_them[:, t, 3], atol=1e-5)
    other = module.apply(params, frames, 1 - actions)
    assert np.allclose(other.token[:, 0, :3], whole.token[:, 0, :3]), "nothing is told of what comes later"
    assert not np.allclose(other.token[:, 0, 3], whole.token[:, 0, 3])
    deaf = module.clone(told=False)
    np.testing.assert_array_equal(
        deaf.apply(params, frames, actions).token, deaf.apply(params, frames, 1 - actions).token
    )
