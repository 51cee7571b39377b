"""R2D2: recurrent replay distributed DQN.

Kapturowski, Ostrovski, Quan, Munos and Dabney, "Recurrent experience replay in distributed reinforcement learning",
ICLR 2019. Windows of l + m transitions are unrolled by both networks from the memory stored with their first row. The
first l rows, the burn-in, only bring it up to date; on the m transitions after them

    y_t = h(Σ_{k<n} γ^k r_{t+k+1} + γ^n h⁻¹(Q(x_{t+n}, a*; θ⁻)))        a* = argmax_a Q(x_{t+n}, a; θ)
    L(θ) = E[w Σ_t ½ (y_t - Q(x_t, a_t; θ))²]                           p = η max_t |δ_t| + (1 - η) mean_t |δ_t|

with h of `agents.losses.transforms` and p the priority of the window. Targets stop at the end of an episode.

Lane i of N explores with probability ε^(1 + α i/(N-1)) (Horgan et al., "Distributed prioritized experience replay",
ICLR 2018). The paper's network also reads the last action and reward: `agents.common.wrappers.recall`. Its actors give
new windows the priority that their own values tell: `acting_priority`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
import rlax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import objectives, optimisers, recurrence
from agents.dqn import Actor, State, dqn, epsilon_greedy, lane_epsilons
from envs import parallel
from networks.base import Network


def td_errors(
    network: Network,
    params: Any,
    target: Any,
    key: Key,
    steps: Step,
    *,
    discount: float | Array,
    n_step: int,
    burn_in: int,
    tx_pair: rlax.TxPair,
) -> tuple[Array, Array]:
    """δ of windows `[l+m+1, N]`, with the gradient through Q(x_t, a_t; θ) alone and 0 between two episodes, and that Q.

    Returns:
      Both `[m, N]`, under h.
    """
    k_online, k_target = jax.random.split(key)
    q = recurrence.unroll(network, params, k_online, steps, burn_in)
    target_q = recurrence.unroll(network, target, k_target, steps, burn_in)
    steps = jax.tree.map(lambda x: x[burn_in:], steps)
    step_type, r, gamma, _ = steps.timestep
    over_lanes = jax.vmap(losses.transformed_n_step_q_learning, (1,) * 7 + (None, None), 1)
    best = jnp.argmax(q[1:], axis=-1)
    td = over_lanes(
        q[:-1], steps.action[:-1], target_q[1:], best, r[1:], discount * gamma[1:], step_type, n_step, tx_pair
    )
    return td, objectives.taken(q[:-1], steps.action[:-1])


def mixed_priority(td: Array, steps: Step, eta: float | Array) -> Array:
    """p = η max_t |δ_t| + (1 - η) mean_t |δ_t|, `[N]`, of |δ| `[m, N]` and the rows `[m+1, N]` that they are of."""
    mean = jnp.sum(td, axis=0) / jnp.maximum(jnp.sum(valid(steps), axis=0), 1)
    return eta * jnp.max(td, axis=0) + (1 - eta) * mean


def acting_priority(
    *,
    discount: float | Array,
    n_step: int,
    burn_in: int,
    eta: float | Array,
    tx_pair: rlax.TxPair = losses.SIGNED_HYPERBOLIC_PAIR,
    rewrite: Callable[[Array], Array] = lambda reward: reward,
) -> Callable[[Step], Array]:
    """The priority of windows `[l+m+1, N]` from the values that `r2d2(..., values=True)` acted with, `[N]`.

    They serve as both networks' values; for `replay.prioritised(..., initial=...)`.

    Args:
      discount: γ; this and the following ones as for `r2d2`.
      n_step: n.
      burn_in: l.
      eta: η.
      tx_pair: h and its inverse.
      rewrite: what is learned from in place of the rewards, such as clipped ones.
    """

    def priority(steps: Step) -> Array:
        steps = jax.tree.map(lambda x: x[burn_in:], steps)
        step_type, r, gamma, _ = steps.timestep
        taken, best = steps.extras["value_taken"][:-1, :, None], steps.extras["value_best"][1:, :, None]
        only = jnp.zeros(taken.shape[:2], jnp.int32)
        over_lanes = jax.vmap(losses.transformed_n_step_q_learning, (1,) * 7 + (None, None), 1)
        td = over_lanes(taken, only, best, only, rewrite(r[1:]), discount * gamma[1:], step_type, n_step, tx_pair)
        return mixed_priority(jnp.abs(td), steps, eta)

    return priority


def r2d2(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.997,
    n_step: int = 5,
    burn_in: int = 40,
    eta: float | Array = 0.9,
    epsilon: float | Array | optax.Schedule = 0.4,
    ladder: float | Array = 7.0,
    target_period: int | Array = 2500,
    target_rate: float | Array = 1.0,
    tx_pair: rlax.TxPair = losses.SIGNED_HYPERBOLIC_PAIR,
    values: bool = False,
) -> Agent:
    """The R2D2 agent, for `replay.prioritised` of windows longer than the burn-in.

    Args:
      network: observation -> Q `[A]` under h; recurrent, or feed-forward as the paper's ablation.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      n_step: n; the last n - 1 targets of a window are shorter.
      burn_in: l.
      eta: η.
      epsilon: ε of the first lane, or a schedule of it over updates. Evaluation is greedy.
      ladder: α; with 0 all lanes explore alike.
      target_period: updates between moves of the target parameters θ⁻.
      target_rate: how far θ⁻ moves towards θ each time: 1 copies.
      tx_pair: h and its inverse; `losses.IDENTITY_PAIR` for no rescaling.
      values: store with each row the values, under h, of the action that was taken and of the best one.
    """

    base = dqn(network, optimiser, epsilon=epsilon)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        if not explore:
            return base.act(actor, key, carry, timestep, explore)
        k_network, k_explore = jax.random.split(key)
        q, after = recurrence.step(network, actor.params, k_network, carry, timestep)
        action = epsilon_greedy(k_explore, q, lane_epsilons(actor.epsilon, ladder, timestep.reward.shape[0]))
        if not values:
            return action, after, {}
        taken = jnp.take_along_axis(q, action[:, None], axis=-1)[:, 0]
        return action, after, {"value_taken": taken, "value_best": jnp.max(q, axis=-1)}

    def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[Array, Array]]:
        td, q = td_errors(
            network, params, target, key, sample.steps,
            discount=discount, n_step=n_step, burn_in=burn_in, tx_pair=tx_pair,
        )  # fmt: skip
        return jnp.mean(sample.weight * jnp.sum(losses.squared(td), axis=0)), (jnp.abs(td), q)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        descent = jax.value_and_grad(loss, has_aux=True)
        (value, (td, q)), gradients = descent(state.params, state.target, key, sample)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(params, state.target, rate)
        learned = jax.tree.map(lambda x: x[burn_in:], sample.steps)
        terms = {"td_error": td, "q_mean": tx_pair.apply_inv(q)}
        means = {name: parallel.masked_mean(x, valid(learned)) for name, x in terms.items()}
        metrics = {"loss": value, **means, "epsilon": base.actor(state).epsilon, **told}
        return State(params, target, opt_state, count), Info(metrics, mixed_priority(td, learned, eta))

    return base._replace(act=act, update=update)


def staleness(network: Network, params: Any, key: Key, steps: Step, start: int, burn_in: int) -> dict[str, Array]:
    """ΔQ, how far values from replayed memory are from those of memory that the parameters made themselves.

    ΔQ_t = ‖Q(ĥ_t) - Q(h_t)‖₂ / |max_{i,a} Q(ĥ_i)_a| (Kapturowski et al., ICLR 2019, section 3), where h is unrolled
    from the start of the episode and ĥ from memory replayed at row `start`, or `burn_in` rows before it.

    Args:
      network: a recurrent one.
      params: its parameters now.
      key: for noisy layers.
      steps: `[T+1, N]`, within one episode and from its FIRST row, with the memory that older parameters stored.
      start: first row that would be learned from.
      burn_in: rows unrolled before it; at most `start`.

    Returns:
      ΔQ of rows `start` and T, `[2, N]`, of the strategies "stored", "stored, burn-in", "zero" and "zero, burn-in".
    """
    q = recurrence.unroll(network, params, key, steps)[start:]

    def delta(source: str, burn_in: int) -> Array:
        window = jax.tree.map(lambda x: x[start - burn_in :], steps)
        if source == "zero":
            window = window._replace(carry=jax.tree.map(jnp.zeros_like, window.carry))
        q_hat = recurrence.unroll(network, params, key, window, burn_in)
        gap = jnp.linalg.norm(q_hat - q, axis=-1) / jnp.abs(jnp.max(q_hat, axis=(0, 2)))[None]
        return gap[jnp.array([0, -1])]

    strategies = {"stored": 0, "stored, burn-in": burn_in, "zero": 0, "zero, burn-in": burn_in}
    return {name: delta(name.split(",")[0], rows) for name, rows in strategies.items()}
