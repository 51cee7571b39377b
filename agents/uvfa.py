"""Universal value function approximators: values of states *and* goals.

Schaul, Horgan, Gregor and Silver, "Universal value function approximators", ICML 2015. Of any agent `goal_conditioned`
makes one of V(s, g) or Q(s, a, g): goals come with the observation. How it is trained is up to its replay: by
bootstrapping on the goals that were pursued, or on others (`replay.hindsight`; the paper's section 4.3 is its strategy
"random"). Where values of many states and goals are known, training in two stages is quicker (section 3.1):

    1. M[s, g] ≈ φ̂_s · ψ̂_g            a factorisation of the entries that there are
    2. φ(s) -> φ̂_s,  ψ(g) -> ψ̂_g       two regressions, each of its own
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Key, TimeStep, Tree
from agents.common import wrappers

SEEN = ("observation", "desired_goal")


def goal_conditioned(agent: Agent) -> Agent:
    """The agent sees what it observes and what it is to reach, and not what it achieved (`envs.base.Goals`)."""

    def see(timestep: TimeStep) -> TimeStep:
        return timestep._replace(observation={name: timestep.observation[name] for name in SEEN})

    return wrappers.seeing(agent, see)


class Factors(NamedTuple):
    """Embeddings of states and goals."""

    phi: Array  # [S, n]
    psi: Array  # [G, n]

    def values(self) -> Array:
        """`[S, G]`."""
        return self.phi @ self.psi.T


def factorise(key: Key, values: Array, known: Array, rank: int, ridge: float = 1e-3, sweeps: int = 100) -> Factors:
    """The first stage: alternating least squares over the entries that are known, and those alone.

        φ̂_s = (Σ_g m_sg ψ̂_g ψ̂_gᵀ + λ I)⁻¹ Σ_g m_sg M_sg ψ̂_g,  and the same for ψ̂

    The paper uses OptSpace (Keshavan et al., 2009) for this; missing entries must be left out, not taken for 0.

    Args:
      key: of the first ψ̂.
      values: M, `[S, G]`; unknown entries may be anything finite.
      known: booleans m, `[S, G]`.
      rank: n, 1 or more.
      ridge: λ.
      sweeps: of both factors.

    Raises:
      ValueError: a rank below 1.
    """
    if rank < 1:
        raise ValueError(f"rank is {rank}; it must be at least 1")
    weight = known.astype(jnp.float32)
    kept = jnp.where(known, values, 0.0)

    def solve(kept: Array, weight: Array, other: Array) -> Array:
        gram = jnp.einsum("sg,gi,gj->sij", weight, other, other) + ridge * jnp.eye(rank)[None]
        return jnp.linalg.solve(gram, jnp.einsum("sg,gi->si", kept, other)[..., None])[..., 0]

    def sweep(factors: Factors, _: None) -> tuple[Factors, None]:
        phi = solve(kept, weight, factors.psi)
        return Factors(phi, solve(kept.T, weight.T, phi)), None

    psi = jax.random.normal(key, (values.shape[1], rank)) / jnp.sqrt(rank)
    start = Factors(jnp.zeros((values.shape[0], rank)), psi)
    return jax.lax.scan(sweep, start, None, sweeps)[0]


def regress(
    key: Key,
    init: Callable[[Key, Tree], Any],
    apply: Callable[[Any, Tree], Array],
    inputs: Tree,
    targets: Array,
    optimiser: optax.GradientTransformation,
    steps: int,
) -> tuple[Any, Array]:
    """The second stage, of one stream: full-batch regression to its embeddings.

    Args:
      key: of the parameters.
      init: `(key, inputs[N, ...]) -> params`.
      apply: `(params, inputs[N, ...]) -> [N, n]`.
      inputs: `[N, ...]`, of states or goals.
      targets: their embeddings `[N, n]`.
      optimiser: an `agents.common.optimisers` chain.
      steps: gradient steps.

    Returns:
      Parameters and the mean loss of each step, `[steps]`.
    """
    params = init(key, inputs)

    def loss(params: Any) -> Array:
        return jnp.mean(losses.squared(apply(params, inputs) - targets))

    def step(carry: tuple, _: None) -> tuple[tuple, Array]:
        params, state = carry
        value, gradients = jax.value_and_grad(loss)(params)
        updates, state = optimiser.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), value

    (params, _), values = jax.lax.scan(step, (params, optimiser.init(params)), None, steps)
    return params, values
