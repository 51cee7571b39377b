"""Proximal policy optimisation.

Schulman et al., "Proximal policy optimization algorithms", 2017. With ρ_t = π(a_{t-1}|x_{t-1}) / π_old(...):

    L = E[ -min(ρ_t Â_t, clip(ρ_t, 1-ε, 1+ε) Â_t) + c_v L_V - c_e H(π(·|x_{t-1})) ],     L_V = ½ (Ĝ_t - V(x_{t-1}))²

or, without clipping, with the divergence from the old policy as a penalty, whose weight β may be adapted to a target:

    L = E[ -ρ_t Â_t + β KL(π_old(·|x_{t-1}) ‖ π(·|x_{t-1})) + c_v L_V - c_e H(π(·|x_{t-1})) ]

over several epochs of minibatches of one rollout. Advantages come from the values that `act` recorded and are
normalised per minibatch; Ĝ_t = Â_t + V_old. Minibatches are drawn over single steps, or over whole lanes if the network
has memory.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import acting, descend, targets
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import lessons, measures, recurrence, streams
from agents.common.lessons import Lesson
from agents.common.streams import Stream
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What PPO learns, counts and adapts."""

    params: Any
    optimiser: Any
    updates: Array  # int32, rollouts
    kl_cost: Array  # β


class Batch(NamedTuple):
    """A rollout with its targets, all `[T, N]`."""

    steps: Step
    advantage: Array
    target: Array
    mask: Array
    policy: Any = ()  # the distribution that acted, where its divergence is asked for


def split(batch: Any, key: Key, minibatches: int) -> Any:
    """Shuffles a rollout `[T, N]` into `[minibatches, T', N']`: single steps, or whole lanes if they carry memory.

    Args:
      batch: a tuple of arrays `[T, N, ...]`, among them the rows `batch.steps`.
      key: of the order.
      minibatches: must divide T · N, with memory N.
    """
    recurrent = bool(jax.tree.leaves(batch.steps.carry))
    length, lanes = batch.steps.timestep.reward.shape
    items = lanes if recurrent else length * lanes
    order = jax.random.permutation(key, items).reshape(minibatches, -1)

    def deal(x: Array) -> Array:
        if recurrent:
            return jnp.moveaxis(x[:, order], 1, 0)
        return x.reshape(1, items, *x.shape[2:])[:, order].swapaxes(0, 1)

    return jax.tree.map(deal, batch)


def passes(
    step: Callable[..., tuple[Any, dict[str, Array]]], state: Any, key: Key, batch: Any, epochs: int, minibatches: int
) -> tuple[Any, dict[str, Array]]:
    """Several passes over a rollout, each over the minibatches of a fresh `split`.

    Args:
      step: `(state, key, minibatch) -> (state, metrics)`.
      state: before the first.
      key: of the orders and the steps.
      batch: as for `split`.
      epochs: passes.
      minibatches: steps per pass.

    Returns:
      The state after the last step, and the metrics' means over steps.
    """

    def epoch(state: Any, key: Key) -> tuple[Any, dict[str, Array]]:
        k_split, k_steps = jax.random.split(key)
        keyed = jax.random.split(k_steps, minibatches), split(batch, k_split, minibatches)
        return jax.lax.scan(lambda state, keyed: step(state, *keyed), state, keyed)

    state, metrics = jax.lax.scan(epoch, state, jax.random.split(key, epochs))
    return state, jax.tree.map(jnp.mean, metrics)


def normalised(advantage: Array, mask: Array) -> Array:
    """Advantages with mean 0 and variance 1 over the valid entries of all devices."""
    mean = parallel.mean(parallel.masked_mean(advantage, mask))
    variance = parallel.mean(parallel.masked_mean(jnp.square(advantage - mean), mask))
    return (advantage - mean) * jax.lax.rsqrt(variance + 1e-8)


def ppo(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.95,
    clip: float | Array | optax.Schedule = 0.2,
    kl_cost: float | Array | None = None,
    kl_target: float | Array | None = None,
    value_clip: float | Array | None = None,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.0,
    epochs: int = 4,
    minibatches: int = 4,
    normalise: bool = True,
    second: Stream | None = None,
    lesson: Lesson | None = None,
) -> Agent:
    """The PPO agent; learns from `replay.on_policy()`.

    Args:
      network: observation -> (distribution, value); discrete or continuous actions, feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      lambda_: λ of the generalised advantage.
      clip: ε, how far the ratio may profit from leaving 1, or a schedule of it over rollouts; ∞ for no clipping.
      kl_cost: β; None for no penalty.
      kl_target: the KL that β is adapted to from rollout to rollout; None keeps it fixed.
      value_clip: bound on how far V may profit from leaving V_old; None for the plain squared loss.
      value_cost: c_v.
      entropy_cost: c_e.
      epochs: passes over each rollout.
      minibatches: gradient steps per pass; must divide the rollout's steps (its lanes, if the network has memory).
      normalise: normalise advantages in each minibatch.
      second: of rewards, `extras["bonus"]`, for a network with two values (`networks.Values(2)`); None for one stream.
      lesson: what is learned from teachers beside the reward, `agents.kickstart.lesson`; or None.

    Raises:
      ValueError: a target for a penalty that there is not.
    """
    if kl_target is not None and kl_cost is None:
        raise ValueError(f"kl_target: {kl_target} needs a kl_cost to begin with")

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        return State(params, optimiser.init(params), jnp.int32(0), jnp.float32(0.0 if kl_cost is None else kl_cost))

    def loss(params: Any, key: Key, batch: Batch, state: State) -> tuple[Array, dict[str, Array]]:
        steps, mask = batch.steps, batch.mask
        policy, value = recurrence.unroll(network, params, key, steps)
        advantage = normalised(batch.advantage, mask) if normalise else batch.advantage
        log_prob, old = policy.log_prob(steps.action), steps.extras
        epsilon = clip(state.updates) if callable(clip) else clip
        terms = {
            "policy_loss": losses.clipped_surrogate(log_prob, old["log_prob"], advantage, epsilon),
            "value_loss": streams.summed(
                losses.value_loss(value, batch.target, None if value_clip is None else old["value"], value_clip), second
            ),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, old["log_prob"]),
            "clip_fraction": losses.clip_fraction(log_prob, old["log_prob"], epsilon),
        }
        terms |= lessons.terms(lesson, policy, steps.extras)
        if kl_cost is not None:
            terms["kl"] = batch.policy.kl(policy)
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        total = lessons.total(lesson, means) + value_cost * means["value_loss"] - entropy_cost * means["entropy"]
        if kl_cost is not None:
            total += state.kl_cost * means["kl"]
        return total, {"loss": total, **means}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        value, mask = steps.extras["value"], valid(steps)
        advantage, target = targets(steps, value, second, discount=discount, lambda_=lambda_)
        rows = recurrence.before(steps)
        policy = lambda params: recurrence.unroll(network, params, key, rows)[0]  # noqa: E731
        old: Any = () if kl_cost is None else policy(state.params)
        batch = Batch(rows, advantage, target, mask, old)

        def step(learned: State, key: Key, batch: Batch) -> tuple[State, dict[str, Array]]:
            return descend(optimiser, loss, learned, key, batch, state)

        after, metrics = passes(step, state, key, batch, epochs, minibatches)
        if kl_target is not None:
            kl = parallel.mean(parallel.masked_mean(old.kl(policy(after.params)), mask))
            after = after._replace(kl_cost=losses.adapted_penalty(state.kl_cost, kl, kl_target))
        explained = measures.explained_variance(streams.first(value[:-1], second), streams.first(target, second), mask)
        metrics |= {"explained_variance": explained, "kl_cost": state.kl_cost}
        return after._replace(updates=state.updates + 1), Info(metrics)

    return Agent(init, lambda state: state.params, network.begin, acting(network), update, recurrence.entire)
