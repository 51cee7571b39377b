"""Kronecker-factored approximate curvature of dense layers and convolutions.

Martens and Grosse, "Optimizing neural networks with Kronecker-factored approximate curvature", ICML 2015. The Fisher
matrix of a layer with inputs a (and a 1 for the bias) and gradients g of the log-likelihood with respect to its
outputs, of targets drawn from the model, is taken for E[a aᵀ] ⊗ E[g gᵀ] = A ⊗ S, so that

    F⁻¹ ∇W = A⁻¹ ∇W S⁻¹.

A convolution is a dense layer over T places, whose sum is its gradient (Grosse and Martens, "A Kronecker-factored
approximate Fisher matrix for convolution layers", ICML 2016): A = E[Σ_t a_t a_tᵀ] over patches a_t and
S = E[Σ_t g_t g_tᵀ] / T, by which places count as independent of one another and alike.

The damping λ is split between the factors: A + π √λ I and S + √λ / π I, with π² the ratio of their mean eigenvalues.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from agents.base import Array
from envs import parallel
from networks.torsos import Conv

Layers = dict[str, Array]
"""By the path of a layer."""


class Factors(NamedTuple):
    """Running sums of both factors of each layer, and of their weights."""

    inputs: dict[str, Array]  # [in + 1, in + 1]; a convolution's inputs are the numbers of a patch
    outputs: dict[str, Array]  # [out, out]
    weight: Array


def layers(params: Any) -> dict[str, Array]:
    """The kernels of dense layers and of `networks.torsos.Conv`, by path, as matrices `[in, out]`."""
    flat = flatten_dict(params, sep="/")
    kernels = {path.removesuffix("/kernel"): x for path, x in flat.items() if path.endswith("/kernel")}
    known = lambda path, x: (x.ndim, jnp.ndim(flat.get(f"{path}/bias", 0))) in ((2, 1), (4, 4))  # noqa: E731
    return {path: x.reshape((-1, x.shape[-1])) for path, x in kernels.items() if known(path, x)}


def empty(params: Any) -> Factors:
    """Before the first sample."""
    kernels = layers(params)
    square = lambda size: jnp.zeros((size, size))  # noqa: E731
    return Factors(
        {path: square(x.shape[0] + 1) for path, x in kernels.items()},
        {path: square(x.shape[1]) for path, x in kernels.items()},
        jnp.float32(0),
    )


def sampled(log_likelihood: Callable[[Any], Array], params: Any, rows: int) -> tuple[Layers, Layers]:
    """A and S of every layer from one batch, averaged over devices.

    Args:
      log_likelihood: params -> the sum over rows of ln p of targets that the model drew; it applies each layer once, to
        inputs `[rows, in]`.
      params: of a flax module.
      rows: how many.
    """
    paths = layers(params).keys()

    def tapped(taps: dict[str, Array]) -> tuple[Array, tuple[Layers, Layers]]:
        inputs: Layers = {}
        outputs: Layers = {}

        def listen(call: Any, args: Any, kwargs: Any, context: nn.module.InterceptorContext) -> Any:
            out, module = call(*args, **kwargs), context.module
            path = "/".join(module.path)
            if context.method_name != "__call__" or path not in paths:
                return out
            inputs[path] = module.patches(args[0]) if isinstance(module, Conv) else args[0]
            outputs[path] = out
            return out + taps[path].astype(out.dtype) if path in taps else out

        with nn.intercept_methods(listen):
            return log_likelihood(params), (inputs, outputs)

    shapes = jax.eval_shape(lambda: tapped({})[1][1])
    taps = {path: jnp.zeros(x.shape) for path, x in shapes.items()}
    gradients, (inputs, _) = jax.grad(tapped, has_aux=True)(taps)

    def flat(x: Array) -> Array:
        return x.reshape((-1, x.shape[-1])).astype(jnp.float32)

    def of_inputs(x: Array) -> Array:
        x = jnp.concatenate([x, jnp.ones((len(x), 1))], 1)
        return x.T @ x / rows

    a = {path: of_inputs(flat(x)) for path, x in inputs.items()}
    s = {path: flat(g).T @ flat(g) / len(flat(g)) for path, g in gradients.items()}
    return parallel.mean((a, s))


def accumulate(factors: Factors, new: tuple[dict[str, Array], dict[str, Array]], decay: float | Array) -> Factors:
    """The running sums, older samples weighing less by `decay` each time."""
    add = lambda old, x: decay * old + (1 - decay) * x  # noqa: E731
    inputs, outputs = jax.tree.map(add, factors[:2], new)
    return Factors(inputs, outputs, add(factors.weight, 1.0))


def precondition(factors: Factors, gradient: Any, damping: float | Array) -> Any:
    """F⁻¹ times a gradient, layer by layer; other parameters stay as they are."""
    flat = dict(flatten_dict(gradient, sep="/"))
    for path, a in factors.inputs.items():
        a, s = a / factors.weight, factors.outputs[path] / factors.weight
        spread = jnp.sqrt(jnp.maximum(jnp.trace(a) / a.shape[0], 1e-8) / jnp.maximum(jnp.trace(s) / s.shape[0], 1e-8))
        root = jnp.sqrt(damping)
        a, s = a + spread * root * jnp.eye(a.shape[0]), s + root / spread * jnp.eye(s.shape[0])
        kernel, bias = flat[f"{path}/kernel"], flat[f"{path}/bias"]
        whole = jnp.concatenate([x.reshape((-1, x.shape[-1])) for x in (kernel, bias)])
        step = jax.scipy.linalg.solve(a, whole, assume_a="pos")
        step = jax.scipy.linalg.solve(s, step.T, assume_a="pos").T
        flat[f"{path}/kernel"], flat[f"{path}/bias"] = step[:-1].reshape(kernel.shape), step[-1].reshape(bias.shape)
    return unflatten_dict(flat, sep="/")
