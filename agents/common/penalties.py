"""Penalties of critics that learn from data alone, for `agents.sac`: of conservative Q-learning, and of EDAC.

A penalty is a function `(critics' params, policy, key, steps[T+1, N]) -> [E', T, N]`; `policy` gives the distributions
of actions at rows `[T, N]`, and no gradient flows into it.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array, Key, Step, TimeStep
from agents.common.critics import apply, ends
from envs import parallel
from networks.base import Network

Penalty = Callable[[Any, Callable[[TimeStep], Any], Key, Step], Array]


def conservative(critic: Network, samples: int = 10, discrete: bool = False, calibrated: bool = False) -> Penalty:
    """CQL's: how far the soft maximum of the values lies above that of the data's action, per critic `[E, T, N]`.

    Kumar, Zhou, Tucker and Levine, "Conservative Q-learning for offline reinforcement learning", NeurIPS 2020. For
    continuous actions the maximum is estimated from `samples` actions each of the uniform distribution, of the policy
    at x_{t-1} and of that at x_t, all valued at x_{t-1} and corrected for their densities.

    Args:
      critic: the ensemble.
      samples: of each kind.
      discrete: whether actions are; the penalty is exact then.
      calibrated: whether values of the policy's actions count for no less than what followed in the data, from samples
        of `replay.to_go` (Cal-QL: Nakamoto et al., NeurIPS 2023); of continuous actions alone.
    """

    def penalty(params: Any, policy: Callable[[TimeStep], Any], key: Key, steps: Step) -> Array:
        before, after = ends(steps)
        a_tm1 = steps.action[:-1]
        if discrete:
            return jax.vmap(losses.conservative_gap, (0, None))(apply(critic, params, before), a_tm1)
        action, log_density = candidates(policy, parallel.own_key(key), before, after, a_tm1, samples)
        q_tm1, q_sampled = apply(critic, params, before, a_tm1), many(critic, params, before, action)
        least = None
        if calibrated:  # the first of the three kinds is uniform, and is not of the policy
            own = jnp.arange(3 * samples) >= samples
            least = jnp.where(own, steps.extras["to_go"][:-1, :, None], -jnp.inf)[None]
        return losses.sampled_conservative_gap(q_sampled, log_density[None], q_tm1, least)

    return penalty


def imagined_over_real(critic: Network, imagined: int, samples: int = 10) -> Penalty:
    """COMBO's: the soft maximum of the values in imagined states less the values of the data's actions, `[E, T, N]`.

    Yu et al., "COMBO: conservative offline model-based policy optimization", NeurIPS 2021.

    Args:
      critic: the ensemble.
      imagined: how many of the windows are, the first ones; the others are of the data.
      samples: of each kind, as for `conservative`.
    """

    def penalty(params: Any, policy: Callable[[TimeStep], Any], key: Key, steps: Step) -> Array:
        before, after = ends(steps)
        a_tm1 = steps.action[:-1]
        lanes = a_tm1.shape[1]
        first = lambda tree: jax.tree.map(lambda x: x[:, :imagined], tree)  # noqa: E731
        begun, arrived, done = first(before), first(after), first(a_tm1)
        action, log_density = candidates(policy, parallel.own_key(key), begun, arrived, done, samples)
        none = jnp.zeros(done.shape[:2])[None]
        high = losses.sampled_conservative_gap(many(critic, params, begun, action), log_density[None], none)
        rest = jax.tree.map(lambda x: x[:, imagined:], before)
        low = -apply(critic, params, rest, a_tm1[:, imagined:])
        return jnp.concatenate([high * (lanes / imagined), low * (lanes / (lanes - imagined))], axis=-1)

    return penalty


def candidates(
    policy: Callable[[TimeStep], Any], key: Key, before: TimeStep, after: TimeStep, a_tm1: Array, samples: int
) -> tuple[Array, Array]:
    """Actions `[K, T, N, D]`, a third each uniform and of the policy at either row, and log-densities `[T, N, K]`."""
    k_uniform, k_before, k_after = jax.random.split(key, 3)
    uniform = jax.random.uniform(k_uniform, (samples, *a_tm1.shape), minval=-1.0, maxval=1.0)
    drawn = [(uniform, jnp.full(uniform.shape[:-1], a_tm1.shape[-1] * jnp.log(0.5)))]
    for k, timestep in ((k_before, before), (k_after, after)):
        drawn.append(jax.vmap(policy(timestep).sample_and_log_prob)(jax.random.split(k, samples)))
    action, log_density = (jax.lax.stop_gradient(jnp.concatenate(x)) for x in zip(*drawn, strict=True))
    return action, jnp.moveaxis(log_density, 0, -1)


def many(critic: Network, params: Any, timestep: TimeStep, action: Array) -> Array:
    """Values of K actions for each row: `timestep[T, N]`, `action[K, T, N, D]` to `[E, T, N, K]`."""
    num, rows, lanes = action.shape[:3]
    spread = lambda x: jnp.broadcast_to(x[:, None], (rows, num, *x.shape[1:])).reshape(rows, -1, *x.shape[2:])  # noqa: E731
    q = apply(critic, params, jax.tree.map(spread, timestep), jnp.moveaxis(action, 0, 1).reshape(rows, num * lanes, -1))
    return jnp.moveaxis(q.reshape(-1, rows, num, lanes), 2, 3)


def alike(member: Network) -> Penalty:
    """EDAC's: how alike the slopes of the critics are at the data's actions, `[1, T, N]`.

    An, Moon, Kim and Song, "Uncertainty-based offline reinforcement learning with diversified Q-ensemble", NeurIPS
    2021.

    Args:
      member: one critic of the ensemble, whose parameters are `[E, ...]`.
    """

    def penalty(params: Any, policy: Callable[[TimeStep], Any], key: Key, steps: Step) -> Array:
        del policy, key
        before, a_tm1 = ends(steps)[0], steps.action[:-1]
        slope = jax.grad(lambda action, params: jnp.sum(apply(member, params, before, action)))
        return losses.gradient_diversity(jax.vmap(slope, (None, 0))(a_tm1, params))[None]

    return penalty
