"""Deep Q-networks: DQN, double DQN, and by their arguments C51, QR-DQN, IQN, Munchausen-DQN and Rainbow.

Mnih et al., "Human-level control through deep reinforcement learning", Nature 2015; van Hasselt, Guez and Silver,
"Deep reinforcement learning with double Q-learning", AAAI 2016; Vieillard, Pietquin and Geist, "Munchausen
reinforcement learning", NeurIPS 2020; for the objectives see `agents.common.objectives`.

    y_t = r_t + γ_t Q(x_t, a*; θ⁻)        a* = argmax_a Q(x_t, a; θ⁻)  (plain)   or   argmax_a Q(x_t, a; θ)  (double)
    L(θ) = E[w ℓ(y_t - Q(x_{t-1}, a_{t-1}; θ))]

and, with Munchausen and π = softmax(Q(·; θ⁻) / τ),

    y_t = r_t + α [τ log π(a_{t-1}|x_{t-1})]_{l₀}^0 + γ_t Σ_b π(b|x_t) (Q(x_t, b; θ⁻) - τ log π(b|x_t)).

The behaviour is ε-greedy. Windows of any length serve: with a recurrent network this is
DRQN, with `replay.n_step` n-step DQN, with `replay.prioritised` prioritised DQN, with noisy layers NoisyNet.
With another loss of the errors of transitions it is DQfD (`agents.dqfd`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, over_window, valid
from agents.common import objectives, optimisers, recurrence
from agents.common.objectives import Objective
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """Everything that DQN learns and counts."""

    params: Any
    target: Any
    optimiser: Any
    updates: Array  # int32


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    epsilon: Array


class Errors(NamedTuple):
    """What is wrong with the values of transitions, `[T, N]` each."""

    each: Array
    """The losses."""
    priority: Array
    q_tm1: Array
    """The values there, `[T, N, A]`."""
    told: dict[str, Array]
    """What is logged."""


ErrorsOf = Callable[[Any, Any, Key, Step], Errors]
"""`(params, target's params, key, steps[T+1, N])`."""
Descended = Callable[[Any, Any, Key, Sample], tuple[Array, tuple[Array, dict[str, Array]]]]
"""`(params, target's params, key, sample) -> loss, (priority[N], metrics)`."""


class Munchausen(NamedTuple):
    """α, τ and l₀ of the equation above."""

    scale: float | Array = 0.9
    temperature: float | Array = 0.03
    floor: float | Array = -1.0


def epsilon_greedy(key: Key, q: Array, epsilon: Array) -> Array:
    """Actions `[B]` from values `[B, A]`. One uniform number serves both the choice to explore and the action."""
    num_actions = q.shape[-1]
    u = jax.random.uniform(key, q.shape[:-1])
    random_action = jnp.minimum(u / jnp.maximum(epsilon, 1e-8) * num_actions, num_actions - 1).astype(jnp.int32)
    return jnp.where(u < epsilon, random_action, jnp.argmax(q, axis=-1).astype(jnp.int32))


def lane_epsilons(epsilon: Array, alpha: float | Array, lanes: int) -> Array:
    """ε^(1 + α i/(N-1)) of these lanes, `[lanes]`; i counts the N lanes of all devices, or of all actors."""
    i = parallel.index() * lanes + jnp.arange(lanes)
    return epsilon ** (1 + alpha * i / max(lanes * parallel.size() - 1, 1))


def weighted(errors: ErrorsOf) -> Descended:
    """The mean over transitions of their losses times the windows' weights."""

    def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[Array, dict[str, Array]]]:
        steps = sample.steps
        each, priority, _, told = errors(params, target, key, steps)
        weight = jnp.broadcast_to(jnp.asarray(sample.weight), each.shape[1:])[None]
        means = {name: parallel.masked_mean(x, valid(steps)) for name, x in told.items()}
        value = parallel.masked_mean(each * weight, valid(steps))
        return value, (over_window(priority, steps), means)

    return loss


def dqn(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    objective: Objective | None = None,
    discount: float | Array = 0.99,
    epsilon: float | Array | optax.Schedule = 0.1,
    ladder: float | Array | None = None,
    target_period: int | Array = 1,
    target_rate: float | Array = 1.0,
    double: bool = True,
    munchausen: Munchausen | None = None,
    noisy: bool = False,
    sampled: bool = False,
    loss_of: Callable[[ErrorsOf], Descended] | None = None,
    conservatism: float | Array | None = None,
) -> Agent:
    """The DQN agent.

    Args:
      network: observation -> what the objective reads; feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      objective: what is predicted and its loss; by default the mean return and ½δ².
      discount: γ.
      epsilon: probability of a random action, or a schedule of it over updates. Evaluation is greedy.
      ladder: α by which lanes explore less and less, `lane_epsilons`; None for all alike.
      target_period: updates between moves of the target parameters θ⁻.
      target_rate: how far θ⁻ moves towards θ each time: 1 copies, less is Polyak averaging.
      double: select a* with the online parameters.
      munchausen: soft targets with the log-policy in the reward; all of them from θ⁻, whatever `double` says.
      noisy: the network has noisy layers: every lane draws its own noise at every step. Evaluation is without noise.
      sampled: the network's outputs are of levels that it draws (IQN), and those by which a* or π of θ⁻ is chosen are
        drawn apart from the target's.
      loss_of: what is descended, of the errors of transitions; by default their weighted mean, `weighted`.
      conservatism: weight of CQL's penalty ln Σ_a exp Q(x_{t-1}, a) - Q(x_{t-1}, a_{t-1}), for learning from data alone
        (Kumar et al., NeurIPS 2020); None for none.
    """
    objective = objective or objectives.expected()
    choice = objective.choice or objective.values
    act_step = recurrence.step_apart if noisy else recurrence.step

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        target = jax.tree.map(jnp.copy, params)  # its own buffers, so that the state can be donated
        return State(params, target, optimiser.init(params), jnp.int32(0))

    def actor(state: State) -> Actor:
        rate = epsilon(state.updates) if callable(epsilon) else epsilon
        return Actor(state.params, jnp.asarray(rate, jnp.float32))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_network, k_explore = jax.random.split(key)
        if not explore:
            output, after = recurrence.step(network, actor.params, None, carry, timestep)
            return jnp.argmax(choice(output), -1).astype(jnp.int32), after, {}
        output, after = act_step(network, actor.params, k_network, carry, timestep)
        rate = actor.epsilon
        if ladder is not None:
            rate = lane_epsilons(rate, ladder, timestep.reward.shape[0])
        return epsilon_greedy(k_explore, choice(output), rate), after, {}

    def errors(params: Any, target: Any, key: Key, steps: Step) -> Errors:
        k_online, k_target = jax.random.split(key)
        output_tm1, online_t = recurrence.pairs(network, params, k_online, steps)
        target_tm1, target_t = recurrence.pairs(network, target, k_target, steps)
        a_tm1, arrived = steps.action[:-1], jax.tree.map(lambda x: x[1:], steps.timestep)
        r_t, discount_t = arrived.reward, discount * arrived.discount
        choice_tm1, choice_t = target_tm1, target_t
        if sampled:
            choice_tm1, choice_t = recurrence.pairs(network, target, jax.random.fold_in(k_target, 1), steps)
        if munchausen is None:
            q_t = choice(online_t if double else choice_t)
            pi_t = jax.nn.one_hot(jnp.argmax(q_t, axis=-1), q_t.shape[-1])
        else:
            scale, temperature, floor = munchausen
            pi_t, entropy = losses.soft_policy(objective.values(choice_t), temperature)
            bonus = losses.munchausen_bonus(objective.values(choice_tm1), a_tm1, temperature, floor)
            r_t = r_t + scale * bonus + discount_t * entropy
        each, priority = objective.loss(output_tm1, a_tm1, r_t, discount_t, target_t, pi_t)
        q_tm1, q_t = objective.values(output_tm1), objective.values(target_t)
        td = losses.expected_sarsa(q_tm1, a_tm1, r_t, discount_t, q_t, pi_t)
        told = {"q_mean": objectives.taken(q_tm1, a_tm1), "td_error": jnp.abs(td)}
        if conservatism is not None:
            told["penalty"] = losses.conservative_gap(q_tm1, a_tm1)
            each = each + conservatism * told["penalty"]
        return Errors(each, priority, q_tm1, told)

    loss = (loss_of or weighted)(errors)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        descent = jax.value_and_grad(loss, has_aux=True)
        (value, (priority, means)), gradients = descent(state.params, state.target, key, sample)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(params, state.target, rate)
        metrics = {"loss": value, "priority": jnp.mean(priority), **means, "epsilon": actor(state).epsilon, **told}
        return State(params, target, opt_state, count), Info(metrics, priority=priority)

    return Agent(init, actor, network.begin, act, update, recurrence.entire)
