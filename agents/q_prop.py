"""Q-Prop: a policy gradient with an off-policy critic as its control variate, for continuous actions.

Gu et al., "Q-Prop: sample-efficient policy gradient with an off-policy critic", ICLR 2017. The critic Q_w is learned as
DDPG's is, from a replay; its first-order expansion at the mean action μ(x) has an expected gradient that is known:

    Ā_t = ∇_a Q_w(x_t, a)|_{a=μ} · (a_t - μ(x_t))
    ∇J = E[∇ log π(a_t|x_t) (Â_t - η_t Ā_t)] + E[η_t ∇_a Q_w(x_t, a)|_{a=μ} ∇μ(x_t)]

with η_t of `losses.control`. Both terms are divided by the standard deviation of what remains of the advantages. The
step is TRPO's (`agents.trpo`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c, losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import measures, recurrence
from agents.ppo import passes
from agents.trpo import Region, constrained
from agents.vpg import fit, rollout
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What Q-Prop learns."""

    params: Any  # of policy and V
    critic: Any  # V's optimiser
    q: a2c.State  # Q_w and its optimiser
    target: Any


class Transitions(NamedTuple):
    """Replayed rows, what they led to, and what the policy does there, `[T, N]`."""

    steps: Step
    arrived: TimeStep
    action: Array
    mask: Array


class Fitted(NamedTuple):
    """Q_w and its target, as they are fitted to replayed windows."""

    q: a2c.State
    target: Any


def q_prop(
    network: Network,
    q_network: Network,
    critic_optimiser: optax.GradientTransformation,
    q_optimiser: optax.GradientTransformation,
    *,
    mode: losses.Control = "conservative",
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.97,
    region: Region = Region(),  # noqa: B008
    epochs: int = 10,
    minibatches: int = 4,
    q_epochs: int = 4,
    q_minibatches: int = 16,
    target_rate: float | Array = 0.005,
    replayed: int = 0,
) -> Agent:
    """The Q-Prop agent; learns from `replay.fresh_and_replayed(on_policy(T), uniform(capacity, replayed, T))`.

    Args:
      network: observation -> (`Gaussian`, value), feed-forward, with a torso for each.
      q_network: {"observation", "action"} -> value `[T, N]`.
      critic_optimiser: an `agents.common.optimisers` chain, of V.
      q_optimiser: another, of Q_w.
      mode: of η.
      discount: γ.
      lambda_: λ of the generalised advantage.
      region: TRPO's.
      epochs: passes of V over each rollout.
      minibatches: gradient steps per pass.
      q_epochs: passes of Q_w over the replayed windows of a sample.
      q_minibatches: gradient steps per pass; divides T · replayed.
      target_rate: how far the target of Q_w moves towards it after each of its gradient steps.
      replayed: windows of the past, the last lanes of a sample; 0 fits Q_w to the fresh ones.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_q, k_action = jax.random.split(key, 3)
        params = network.init(k_policy, timestep.observation)
        (policy, _), _ = network.apply(params, k_action, (), lifted(timestep.observation), timestep.first()[None])
        q = q_network.init(k_q, {"observation": timestep.observation, "action": policy.mode()[0]})
        state = a2c.State(q, q_optimiser.init(q))
        return State(params, critic_optimiser.init(params), state, jax.tree.map(jnp.copy, q))

    def lifted(tree: Tree) -> Tree:
        return jax.tree.map(lambda x: x[None], tree)

    def q_of(params: Any, key: Key, observation: Tree, action: Array) -> Array:
        first = jnp.zeros(action.shape[:2], bool)
        return q_network.apply(params, key, (), {"observation": observation, "action": action}, first)[0]

    def mean_action(params: Any, key: Key, timestep: TimeStep) -> Array:
        return network.apply(params, key, (), timestep.observation, timestep.first())[0][0].mode()

    def q_loss(q: Any, key: Key, batch: Transitions, target: Array) -> tuple[Array, dict[str, Array]]:
        q_tm1 = q_of(q, key, batch.steps.timestep.observation, batch.steps.action)
        error = target - q_tm1
        terms = {"q_loss": losses.squared(error), "td_error": jnp.abs(error), "q_mean": q_tm1}
        means = {name: parallel.masked_mean(term, batch.mask) for name, term in terms.items()}
        return means["q_loss"], means

    def learn_q(state: State, key: Key, steps: Step) -> tuple[State, dict[str, Array]]:
        k_target, k_passes = jax.random.split(key)
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep)
        action = mean_action(state.params, k_target, arrived)
        batch = Transitions(recurrence.before(steps), arrived, action, valid(steps))

        def step(fitted: Fitted, key: Key, batch: Transitions) -> tuple[Fitted, dict[str, Array]]:
            after = q_of(fitted.target, key, batch.arrived.observation, batch.action)
            target = batch.arrived.reward + discount * batch.arrived.discount * after
            q, told = a2c.descend(q_optimiser, q_loss, fitted.q, key, batch, target, part="q_")
            return Fitted(q, optax.incremental_update(q.params, fitted.target, target_rate)), told

        fitted, metrics = passes(step, Fitted(state.q, state.target), k_passes, batch, q_epochs, q_minibatches)
        return state._replace(q=fitted.q, target=fitted.target), metrics

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_policy, k_slope, k_critic, k_q = jax.random.split(key, 4)
        fresh = past = sample.steps
        if replayed:
            fresh, past = (jax.tree.map(lambda x, c=cut: x[:, c], fresh) for cut in splits(replayed))
        v = fresh.extras["value"]
        advantage = a2c.advantages(fresh, v, discount=discount, lambda_=lambda_)
        batch = rollout(fresh, v, advantage, discount=discount, lambda_=lambda_)
        rows = batch.steps
        mean = mean_action(state.params, k_policy, rows.timestep)
        slope = jax.grad(lambda a: jnp.sum(q_of(state.q.params, k_slope, rows.timestep.observation, a)))(mean)
        variate = jnp.sum(slope * (rows.action - mean), axis=-1)
        eta = losses.control(mode, advantage, variate)
        rest = advantage - eta * variate
        centre = parallel.mean(parallel.masked_mean(rest, batch.mask))
        spread = jnp.sqrt(parallel.mean(parallel.masked_mean(jnp.square(rest - centre), batch.mask)) + 1e-8)

        def surrogate(policy: Any) -> Array:
            log_prob, scaled = policy.log_prob(rows.action), (rest - centre) / spread
            return losses.controlled_surrogate(
                log_prob, rows.extras["log_prob"], scaled, eta / spread, slope, policy.mode()
            )

        params, metrics = constrained(network, state.params, k_policy, batch, surrogate, region)
        state = state._replace(params=params)
        state, fitted = fit(network, critic_optimiser, state, k_critic, batch, (epochs, minibatches))
        state, q_metrics = learn_q(state, k_q, past)
        explained = measures.explained_variance(v[:-1], batch.target, batch.mask)
        used = {"eta": parallel.masked_mean(eta, batch.mask), "explained_variance": explained}
        loss = metrics["policy_loss"] + fitted["value_loss"]
        return state, Info({"loss": loss, **metrics, **fitted, **q_metrics, **used})

    return Agent(init, lambda state: state.params, network.begin, a2c.acting(network), update, recurrence.entire)


def splits(replayed: int) -> tuple[slice, slice]:
    """Where the fresh lanes of a sample are, and the replayed ones."""
    return slice(None, -replayed), slice(-replayed, None)
