"""RMSProp against its formula in plain numpy."""

import jax.numpy as jnp
import numpy as np

from agents.common import optimisers


def test_rmsprop_has_its_epsilon_inside_the_root_and_begins_at_one() -> None:
    rate, decay, eps, gradients = 0.1, 0.9, 0.5, np.array([3.0, -1.0, 0.25])
    optimiser = optimisers.rmsprop(rate, decay=decay, eps=eps)
    state, nu = optimiser.init({"x": jnp.float32(0)}), 1.0
    for g in gradients:
        step, state = optimiser.update({"x": jnp.float32(g)}, state)
        nu = decay * nu + (1 - decay) * g**2
        np.testing.assert_allclose(step["x"], -rate * g / np.sqrt(nu + eps), rtol=1e-6)
