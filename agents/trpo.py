"""Trust region policy optimisation.

Schulman, Levine, Moritz, Jordan and Abbeel, "Trust region policy optimization", ICML 2015. Each rollout is one policy
step, the solution of

    max_θ  E[ρ_t Â_t]        subject to        E[KL(π_old(·|x_{t-1}) ‖ π_θ(·|x_{t-1}))] ≤ δ

to first order in the objective and second in the constraint: with g the gradient of the objective and F the Hessian of
the constraint at θ_old, x = (F + ηI)⁻¹ g by conjugate gradients, which want only products with F, and

    θ = θ_old + ½^j √(2δ / xᵀ(F + ηI)x) x

for the first j = 0, 1, ... that improves the objective and keeps KL ≤ κδ; if none does, θ stays. Then the critic is
fitted to the λ-returns. The whole network is one vector: where the policy does not depend on it, x is 0.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from agents import a2c, losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from agents.common import measures, recurrence
from agents.ppo import Batch, normalised
from agents.vpg import fit, rollout
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What TRPO learns."""

    params: Any
    critic: Any  # the critic's optimiser


def conjugate_gradient(product: Callable[[Array], Array], b: Array, iterations: int) -> Array:
    """x with Ax = b, after so many steps of conjugate gradients (Hestenes and Stiefel, 1952).

    Args:
      product: v -> Av, A symmetric and positive definite.
      b: `[P]`.
      iterations: at most P are of use; a residual of 0 stays there.
    """

    def step(state: Any, _: None) -> tuple[Any, None]:
        x, r, p, rr = state
        ap = product(p)
        alpha = rr / jnp.maximum(p @ ap, 1e-20)
        r_next = r - alpha * ap
        rr_next = r_next @ r_next
        return (x + alpha * p, r_next, r_next + rr_next / jnp.maximum(rr, 1e-20) * p, rr_next), None

    (x, *_), _ = jax.lax.scan(step, (jnp.zeros_like(b), b, b, b @ b), None, iterations)
    return x


def natural_step(
    gradient: Array, kl: Callable[[Array], Array], at: Array, *, radius: Any, damping: Any, iterations: int
) -> Array:
    """The step that improves a linear objective most within a KL of `radius`, to second order.

    Args:
      gradient: of the objective, to be increased, `[P]`.
      kl: divergence of the policy with the parameters `[P]` from that with `at`, on this device's share.
      at: parameters `[P]`.
      radius: δ.
      damping: η.
      iterations: of conjugate gradients.
    """

    def product(v: Array) -> Array:
        return parallel.mean(jax.jvp(jax.grad(kl), (at,), (v,))[1]) + damping * v

    x = conjugate_gradient(product, gradient, iterations)
    return jnp.sqrt(2 * radius / jnp.maximum(x @ product(x), 1e-20)) * x


class Region(NamedTuple):
    """How a constrained step is taken."""

    radius: float | Array = 0.01  # δ, in nats
    damping: float | Array = 0.1  # η
    iterations: int = 10  # of conjugate gradients
    slack: float | Array = 1.0  # κ, how far beyond δ the search may accept; 1.5 in OpenAI's code, 1 in the paper
    backtracks: int = 10  # steps that the search tries, each half of the one before
    line_search: bool = True  # if not, the first is taken as it is


def search(
    outcome: Callable[[Array], tuple[Array, Array]], before: Array, region: Region
) -> tuple[Array, dict[str, Array]]:
    """The largest part of a step, of 1, ½, ¼, ..., that improves the objective inside the trust region; 0 if none does.

    Args:
      outcome: part of the step -> (loss, KL) there.
      before: the loss without it.
      region: δ, κ, how many parts are tried, and whether they are.

    Returns:
      The part, and scalars.
    """
    fractions = 0.5 ** jnp.arange(region.backtracks, dtype=jnp.float32)
    after, kl = jax.lax.map(outcome, fractions)
    inside = (after < before) & (kl <= region.slack * region.radius)
    good = inside if region.line_search else jnp.ones_like(inside)
    first, accepted = jnp.argmax(good), jnp.any(good)
    taken = jnp.where(accepted, fractions[first], 0.0)
    improvement, kl = jnp.where(accepted, before - after[first], 0.0), jnp.where(accepted, kl[first], 0.0)
    return taken, {"policy_loss": before, "improvement": improvement, "kl": kl, "fraction": taken}


def constrained(
    network: Network, params: Any, key: Key, batch: Batch, surrogate: Callable[[Any], Array], region: Region
) -> tuple[Any, dict[str, Array]]:
    """One constrained policy step.

    Args:
      network: observation -> (distribution, value).
      params: of the policy that acted.
      key: for the network.
      batch: its rollout.
      surrogate: distribution `[T, N]` -> losses `[T, N]`, to be decreased.
      region: how.

    Returns:
      Parameters, and scalars.
    """
    at, tree = ravel_pytree(params)
    policy = lambda vector: recurrence.unroll(network, tree(vector), key, batch.steps)[0]  # noqa: E731
    old = jax.lax.stop_gradient(policy(at))

    def loss(vector: Array) -> Array:
        return parallel.masked_mean(surrogate(policy(vector)), batch.mask)

    def divergence(vector: Array) -> Array:
        return parallel.masked_mean(old.kl(policy(vector)), batch.mask)

    def outcome(fraction: Array) -> tuple[Array, Array]:
        return parallel.mean((loss(at + fraction * step), divergence(at + fraction * step)))

    before, gradient = parallel.mean(jax.value_and_grad(loss)(at))
    step = natural_step(
        -gradient, divergence, at, radius=region.radius, damping=region.damping, iterations=region.iterations
    )
    taken, metrics = search(outcome, before, region)
    after, old_log_prob = at + taken * step, batch.steps.extras["log_prob"]
    terms = {
        "entropy": old.entropy(),
        "approx_kl": losses.approx_kl(policy(after).log_prob(batch.steps.action), old_log_prob),
    }
    metrics |= {name: parallel.masked_mean(term, batch.mask) for name, term in terms.items()}
    return tree(after), {**metrics, "gradient_norm": jnp.linalg.norm(gradient)}


def trpo(
    network: Network,
    critic_optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.98,
    region: Region = Region(),  # noqa: B008
    epochs: int = 10,
    minibatches: int = 4,
) -> Agent:
    """The TRPO agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value), with a torso for each: with a shared one, each part's steps move
        the other, and the critic's take the policy out of its region.
      critic_optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      lambda_: λ of the generalised advantage.
      region: δ, η and κ, and how the step is searched for.
      epochs: passes of the critic over each rollout.
      minibatches: gradient steps per pass; must divide the rollout's steps (its lanes, if the network has memory).
    """

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, critic_optimiser.init(params))

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_policy, k_critic = jax.random.split(key)
        steps = sample.steps
        v = steps.extras["value"]
        advantage = a2c.advantages(steps, v, discount=discount, lambda_=lambda_)
        batch = rollout(steps, v, advantage, discount=discount, lambda_=lambda_)
        weight = normalised(batch.advantage, batch.mask)

        def surrogate(policy: Any) -> Array:
            log_prob = policy.log_prob(batch.steps.action)
            return losses.surrogate(log_prob, batch.steps.extras["log_prob"], weight)

        params, metrics = constrained(network, state.params, k_policy, batch, surrogate, region)
        state, fitted = fit(
            network, critic_optimiser, state._replace(params=params), k_critic, batch, (epochs, minibatches)
        )
        metrics["explained_variance"] = measures.explained_variance(v[:-1], batch.target, batch.mask)
        return state, Info({"loss": metrics["policy_loss"] + fitted["value_loss"], **metrics, **fitted})

    return Agent(init, lambda state: state.params, network.begin, a2c.acting(network), update, recurrence.entire)
