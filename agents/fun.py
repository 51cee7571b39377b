"""FuN, feudal networks: a manager sets directions in a space of its own, a worker is paid for following them.

Vezhnevets et al., "FeUdal networks for hierarchical reinforcement learning", ICML 2017, on whole rollouts. The manager
tells a direction g_t in each step and is right about it c steps later; the worker is told the last c + 1 of them:

    manager   L = E[ -Â^M_t cos(s̄_{t+c} - s̄_t, g_t) ]              Â^M of the task's rewards, with γ_M and V^M
    worker    L = E[ -log π(a_t|x_t, Σ_{i≤c} ḡ_{t-i}) Â^D_t - c_e H ]   Â^D of r_t + α r^I_t, with γ and V^D
              r^I_t = (1/c) Σ_{i=1}^{c} cos(s_t - s_{t-i}, g_{t-i})

and both values ½ squared errors with weight c_v. A bar stops the gradient: neither level's policy is learned through
the other's parameters, and the space of states is learned from V^M alone. Perception belongs to the worker and both
values. With a small probability a goal is a random direction instead; the worker follows it as any other. The worker is
given the sum of goals over c + 1, which φ can undo, so that a step size means the same at any c.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State, advantages, descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import measures, recurrence
from envs import parallel
from networks.distributions import Categorical
from networks.feudal import Feudal


class Carry(NamedTuple):
    """What B lanes remember; of histories the newest is last."""

    manager: Any  # the dilated LSTM's
    worker: Any  # the LSTM's
    states: Array  # s of the last c rows, [B, c, D]
    goals: Array  # g of them, [B, c, D]
    age: Array  # int32 [B], rows of the episode before the last one


class Made(NamedTuple):
    """What both levels make of a window, `[T, B, ...]`."""

    state: Array  # s, [T, B, D]
    goal: Array  # g as the manager tells it, [T, B, D]
    followed: Array  # g as the worker is told it, [T, B, D]
    manager_value: Array  # V^M
    policy: Categorical
    value: Array  # V^D
    intrinsic: Array  # r^I that arrives with the row


def unrolled(
    module: Feudal, params: Any, carry: Carry, timestep: TimeStep, follow: Callable[[Array], Array]
) -> tuple[Made, Carry]:
    """Both levels over a window.

    Args:
      module: the network.
      params: its parameters.
      carry: of the row before, `[B]`.
      timestep: rows `[T, B]`.
      follow: from the manager's goals `[T, B, D]` to those that the worker is told.

    Returns:
      What they make of it, and the carry after.
    """
    first = timestep.first()
    call = lambda *args, method: module.apply({"params": params}, *args, method=method)  # noqa: E731
    told, above = call(carry.manager, timestep.observation, first, method="manage")
    followed = follow(told.goal)
    states = jnp.concatenate([jnp.moveaxis(carry.states, 1, 0), told.state])
    goals = jnp.concatenate([jnp.moveaxis(carry.goals, 1, 0), followed])
    over_lanes = lambda function, *axes: jax.vmap(function, axes, 1)  # noqa: E731
    age = over_lanes(losses.row_ages, 1, 0)(timestep.step_type, carry.age)
    intrinsic = over_lanes(losses.goal_intrinsic, 1, 1, 1)(states, goals, age)
    c = carry.goals.shape[1]
    pooled = over_lanes(losses.pooled_goals, 1, 1)(goals, age) / (c + 1)
    (policy, value), below = call(carry.worker, told.features, pooled, first, method="work")
    rows = age.shape[0]
    after = Carry(above, below, jnp.moveaxis(states[rows:], 0, 1), jnp.moveaxis(goals[rows:], 0, 1), age[-1])
    return Made(told.state, told.goal, followed, told.value, policy, value, intrinsic), after


def random_directions(key: Key, goal: Array, epsilon: float | Array) -> Array:
    """Goals `[..., D]`, each replaced by a uniformly random direction with probability ε."""
    k_whether, k_where = jax.random.split(key)
    drawn = jax.random.normal(k_where, goal.shape)
    drawn = drawn / jnp.linalg.norm(drawn, axis=-1, keepdims=True)
    return jnp.where(jax.random.uniform(k_whether, (*goal.shape[:-1], 1)) < epsilon, drawn, goal)


def objective(
    module: Feudal,
    *,
    horizon: int,
    alpha: float | Array,
    discount: float | Array,
    manager_discount: float | Array,
    lambda_: float | Array,
    intrinsic: Literal["return", "step"],
    end_to_end: bool,
) -> Callable[..., tuple[dict[str, Array], Array]]:
    """The losses of a window, each a mean, `(params, steps[T+1, N]) -> (losses, explained variance)`; see `fun`."""

    def terms(params: Any, steps: Step) -> tuple[dict[str, Array], Array]:
        carry = jax.tree.map(lambda x: x[0], steps.carry)
        was = steps.extras["goal"]
        follow = lambda goal: was + (goal - jax.lax.stop_gradient(goal)) if end_to_end else was  # noqa: E731
        made, _ = unrolled(module, params, carry, steps.timestep, follow)
        above, below = jax.lax.stop_gradient((made.manager_value, made.value))
        advantage = advantages(steps, above, discount=manager_discount, lambda_=lambda_)
        directed = jax.vmap(losses.transition_policy_gradient, (1, 1, 1, 1, None), 1)
        bonus, arrived = alpha * made.intrinsic, steps.timestep
        if intrinsic == "return":
            steps = steps._replace(timestep=arrived._replace(reward=arrived.reward + bonus))
        judged = advantages(steps, below, discount=discount, lambda_=lambda_)
        target, manager_target = judged + below[:-1], advantage + above[:-1]
        policy, action = jax.tree.map(lambda x: x[:-1], (made.policy, steps.action))
        log_prob = policy.log_prob(action)
        each = {
            "manager_loss": directed(made.state, made.goal[:-1], advantage, arrived.step_type, horizon),
            "manager_value_loss": losses.squared(manager_target - made.manager_value[:-1]),
            "policy_loss": losses.policy_gradient(log_prob, judged + (bonus[1:] if intrinsic == "step" else 0.0)),
            "value_loss": losses.squared(target - made.value[:-1]),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
            "intrinsic_reward": made.intrinsic[1:],
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in each.items()}
        return means, measures.explained_variance(below[:-1], target, valid(steps))

    return terms


def fun(
    module: Feudal,
    optimiser: optax.GradientTransformation,
    *,
    horizon: int = 10,
    alpha: float | Array = 0.5,
    epsilon: float | Array = 0.01,
    discount: float | Array = 0.99,
    manager_discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
    worker_cost: float | Array = 1.0,
    intrinsic: Literal["return", "step"] = "return",
    end_to_end: bool = False,
) -> Agent:
    """The FuN agent, for discrete actions; learns from `replay.on_policy()`.

    Args:
      module: the network.
      optimiser: an `agents.common.optimisers` chain.
      horizon: c, steps for which a goal is meant.
      alpha: α, what following goals pays beside the task.
      epsilon: probability of a random goal while exploring.
      discount: γ of the worker.
      manager_discount: γ_M.
      lambda_: λ of both generalised advantages; 1 for the paper's returns.
      value_cost: c_v of both values.
      entropy_cost: c_e.
      worker_cost: weight of the worker's losses, with 0 of which the worker stays as it was made.
      intrinsic: r^I enters the return, or is added to the advantage of its own step alone.
      end_to_end: learn goals from the worker's gradient in place of the manager's, an ablation of the paper.
    """
    terms = objective(
        module, horizon=horizon, alpha=alpha, discount=discount, manager_discount=manager_discount,
        lambda_=lambda_, intrinsic=intrinsic, end_to_end=end_to_end,
    )  # fmt: skip

    def init(key: Key, timestep: TimeStep) -> State:
        params = module.init(key, timestep.observation)["params"]
        return State(params, optimiser.init(params))

    def begin(batch: int) -> Carry:
        above, below = module.begin(batch)
        nothing = jnp.zeros((batch, horizon, module.goal_size))
        return Carry(above, below, nothing, nothing, jnp.zeros(batch, jnp.int32))

    def act(params: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Carry, Any]:
        k_goal, k_action = jax.random.split(key)
        rows = jax.tree.map(lambda x: x[None], timestep)
        follow = lambda goal: random_directions(k_goal, goal, epsilon) if explore else goal  # noqa: E731
        made, after = unrolled(module, params, carry, rows, follow)
        policy: Categorical = jax.tree.map(lambda x: x[0], made.policy)
        action, log_prob = policy.sample_and_log_prob(k_action)
        if not explore:
            action = policy.mode()
        return action, after, {"log_prob": log_prob, "goal": made.followed[0]}

    def loss(params: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        means, explained = terms(params, steps)
        manager = value_cost * means["manager_value_loss"] + (0.0 if end_to_end else means["manager_loss"])
        worker = means["policy_loss"] + value_cost * means["value_loss"] - entropy_cost * means["entropy"]
        total = manager + worker_cost * worker
        return total, {"loss": total, **means, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        state, metrics = descend(optimiser, loss, state, sample.steps)
        return state, Info(metrics)

    return Agent(init, lambda state: state.params, begin, act, update, recurrence.entire)
