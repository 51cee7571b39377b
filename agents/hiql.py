"""HIQL: values of states and goals, learned without actions, from which two policies learn: where next, and how.

Park, Ghosh, Eysenbach and Levine, "HIQL: offline goal-conditioned RL with latent states as actions", NeurIPS 2023. With
two values V_i(x, φ(x, g)) of goals g, r = -1 and γ but where x achieves g, there 0 and no more, and their slow copy V⁻,

    L(V) = Σ_i E[|τ - 1{A < 0}| (r + γ V_i⁻(x', g) - V_i(x, g))²]
    A = r + γ min_i V_i⁻(x', g) - mean_i V_i⁻(x, g)
    J(π_hi) = -E[min(exp(β_hi (V(x_{t+k}, g) - V(x_t, g))), w̄) ln π_hi(φ(x_t, x_{t+k})|x_t, g)]
    J(π_lo) = -E[min(exp(β_lo (V(x_{t+1}, w) - V(x_t, w))), w̄) ln π_lo(a_t|x_t, φ(x_t, w))]          w = x_{t+k}

where V without an index is the mean of the two. φ is of length √D, and learned by L(V) alone. To act, the upper policy
names a φ, brought to that length, and the lower one goes there. Near a goal the noise of V is small beside what a step
changes, and far from it beside what k steps change; that is why there are two. As in OGBench (Park et al., ICLR 2025).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.common.critics import apply, ends
from agents.common.reaching import SEEN, apart, played, posed, reached
from replay import goals as drawn

GOALS = 4
"""Rows behind each transition: the goal of the values; the subgoal w; the goal of the upper policy, and the row that it
is to name for that, k steps ahead or at the goal."""


class Nets(NamedTuple):
    """Something for each of the networks."""

    code: Any
    value: Any
    high: Any
    low: Any


class State(NamedTuple):
    """Everything that is learned and counted."""

    params: Nets
    optimiser: Any
    target: tuple[Any, Any]  # of code and value
    updates: Array  # int32


def goals(
    values: drawn.Shares, policy: drawn.Shares, steps: int | Array = 25, discount: float | Array = 0.99
) -> drawn.Rows:
    """Which rows the goals are, for `replay.with_goals`.

    Args:
      values: of the values' goals, which lie ahead as Geometric(1 - γ) has it.
      policy: of the upper policy's, which are any later row alike.
      steps: k.
      discount: γ.
    """

    def rows(key: Key, data: Any, start: Array) -> Array:
        k_value, k_goal = jax.random.split(key)
        last = drawn.last_of(data, start)
        goal = drawn.mixed(k_goal, data, start, policy)
        within = (goal > start) & (goal <= last)
        ahead = jnp.minimum(start + steps, last)
        target = jnp.where(within, jnp.minimum(ahead, goal), ahead)
        return jnp.stack([drawn.mixed(k_value, data, start, values, discount), ahead, goal, target])

    return rows


def hiql(
    networks: Nets,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    level: float | Array = 0.7,
    high_temperature: float | Array = 3.0,
    low_temperature: float | Array = 3.0,
    weight_limit: float | Array = 100.0,
    target_rate: float | Array = 0.005,
) -> Agent:
    """The HIQL agent, of windows `[2 + GOALS, N]` by `replay.with_goals`.

    Args:
      networks: `code` is φ, of `observation` and `desired_goal` -> `[D]` of length √D; `value` of `observation` and φ
        in the goal's place -> `[2]`; `high` of `observation` and `desired_goal` -> distribution of φ; `low` of
        `observation` and φ -> distribution of actions.
      optimiser: an `agents.common.optimisers` chain for all of them.
      discount: γ.
      level: τ.
      high_temperature: β_hi.
      low_temperature: β_lo.
      weight_limit: w̄.
      target_rate: of V⁻.
    """

    def coded(timestep: TimeStep, code: Array) -> TimeStep:
        return timestep._replace(observation={SEEN[0]: timestep.observation[SEEN[0]], SEEN[1]: code})

    def codes(params: Any, timestep: TimeStep, goal: TimeStep) -> Array:
        return apply(networks.code, params, posed(timestep, goal))

    def values(params: tuple[Any, Any], timestep: TimeStep, goal: TimeStep) -> Array:
        """`[2, T, N]`."""
        return apply(networks.value, params[1], coded(timestep, codes(params[0], timestep, goal)))

    def init(key: Key, timestep: TimeStep) -> State:
        k_code, k_value, k_high, k_low = jax.random.split(key, 4)
        seen = posed(timestep).observation
        code = networks.code.init(k_code, seen)
        lead = lambda tree: jax.tree.map(lambda x: x[None], tree)  # noqa: E731
        named = jax.tree.map(lambda x: x[0], apply(networks.code, code, lead(posed(timestep))))
        within = coded(timestep, named).observation
        value = networks.value.init(k_value, within)
        params = Nets(code, value, networks.high.init(k_high, seen), networks.low.init(k_low, within))
        target = jax.tree.map(jnp.copy, (code, value))  # its own buffers, so that the state can be donated
        return State(params, optimiser.init(params), target, jnp.int32(0))

    def act(actor: Nets, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        k_high, k_low = jax.random.split(key)
        row = jax.tree.map(lambda x: x[None], posed(timestep))
        where = apply(networks.high, actor.high, row)
        code = (where.sample(k_high) if explore else where.mode())[0]
        length = jnp.maximum(jnp.linalg.norm(code, axis=-1, keepdims=True), 1e-6)
        code = code / length * jnp.sqrt(float(code.shape[-1]))
        return played(networks.low, actor.low, k_low, coded(timestep, code), explore), carry, {}

    def value_loss(params: Nets, target: Any, steps: Step, goal: TimeStep) -> tuple[Array, dict[str, Array]]:
        before, after = ends(steps)
        there = reached(before, goal).astype(jnp.float32)
        q = (there - 1)[None] + discount * (1 - there)[None] * values(target, after, goal)
        advantage = jnp.min(q, axis=0) - jnp.mean(values(target, before, goal), axis=0)
        v = values((params.code, params.value), before, goal)
        each = jnp.sum(losses.judged_expectile(q - v, advantage[None], level), axis=0)
        return jnp.mean(each), {"value_loss": jnp.mean(each), "value_mean": jnp.mean(v), "reached": jnp.mean(there)}

    def policy_loss(params: Nets, steps: Step, goals: list[TimeStep]) -> tuple[Array, dict[str, Array]]:
        (before, after), (subgoal, goal, ahead) = ends(steps), goals
        fixed = jax.lax.stop_gradient((params.code, params.value))
        v = lambda timestep, goal: jnp.mean(values(fixed, timestep, goal), axis=0)  # noqa: E731
        gain = v(ahead, goal) - v(before, goal)
        step = v(after, subgoal) - v(before, subgoal)
        where = apply(networks.high, params.high, posed(before, goal)).log_prob(codes(fixed[0], before, ahead))
        how = apply(networks.low, params.low, coded(before, codes(fixed[0], before, subgoal)))
        high_weight = losses.advantage_weight(gain, high_temperature, weight_limit)
        low_weight = losses.advantage_weight(step, low_temperature, weight_limit)
        high = jnp.mean(high_weight * losses.cloning(where))
        low = jnp.mean(low_weight * losses.cloning(how.log_prob(steps.action[:-1])))
        told = {"high_loss": high, "low_loss": low, "high_gain": jnp.mean(gain), "low_gain": jnp.mean(step)}
        return high + low, told

    def loss(params: Nets, target: Any, sample: Sample) -> tuple[Array, dict[str, Array]]:
        steps, goals = apart(sample.steps, GOALS)
        value, told = value_loss(params, target, steps, goals[0])
        policy, more = policy_loss(params, steps, goals[1:])
        return value + policy, {"loss": value + policy, **told, **more}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        state, metrics = descend(optimiser, loss, state, state.target, sample)
        target = optax.incremental_update(tuple(state.params[:2]), state.target, target_rate)
        return state._replace(target=target, updates=state.updates + 1), Info(metrics)

    return Agent(init, lambda state: state.params, lambda batch: (), act, update)
