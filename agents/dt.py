"""Decision Transformer: imitation of what was done where a given return followed, which is then asked for.

Chen et al., "Decision Transformer: reinforcement learning via sequence modeling", NeurIPS 2021. Of contexts of K rows,

    L = E[-ln π(a_t | R_{t-K+1}, x, a, ..., R_t, x_t)]     or     E[‖μ(...) - a_t‖² / D]

where R_t is the undiscounted return from row t on. When acting, R begins at the return that is asked for and falls by
each reward that was obtained.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select
from envs import parallel
from envs.base import Discrete, Spec
from networks.base import Network


class State(NamedTuple):
    """Everything that is learned, and the return that is asked for, which policies take with them."""

    params: Any
    optimiser: Any
    target: Array


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    target: Array


class History(NamedTuple):
    """The last K rows of each lane, `[B, K, ...]`, the newest at the end."""

    to_go: Array
    observation: Tree
    action: Array
    time: Array  # int32
    mask: Array  # bool, False where the episode had not begun


def dt(
    network: Network,
    optimiser: optax.GradientTransformation,
    spec: Spec,
    *,
    context: int,
    target: float | Array,
    scale: float | Array = 1.0,
) -> Agent:
    """The Decision Transformer; learns from `replay.contexts`.

    Args:
      network: `networks.decision`, whose head gives a distribution or an action.
      optimiser: an `agents.common.optimisers` chain.
      spec: the task, of which observations are as this agent sees them.
      context: K.
      target: the return that is asked for, in the task's rewards.
      scale: what returns are divided by.
    """
    actions = spec.action

    def begin(batch: int) -> History:
        empty = lambda space: jnp.zeros((batch, context, *space.shape), space.dtype)  # noqa: E731
        seen = jax.tree.map(empty, spec.observation, is_leaf=lambda x: hasattr(x, "shape"))
        zeros = jnp.zeros((batch, context))
        return History(zeros, seen, empty(actions), zeros.astype(jnp.int32), zeros.astype(bool))

    def init(key: Key, timestep: TimeStep) -> State:
        batch = timestep.reward.shape[0]
        row = jax.tree.map(lambda x: x[:, 0], begin(batch))._replace(observation=timestep.observation)
        params = network.init(key, row._asdict())
        return State(params, optimiser.init(params), jnp.asarray(target, jnp.float32))

    def act(actor: Actor, key: Key, carry: History, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        first = timestep.first()
        carry = select(first, begin(first.shape[0]), carry)
        push = lambda old, new: jnp.concatenate([old[:, 1:], new[:, None].astype(old.dtype)], axis=1)  # noqa: E731
        to_go = jnp.where(first, actor.target, carry.to_go[:, -1] - timestep.reward)
        time = jnp.where(first, 0, carry.time[:, -1] + 1)
        placeholder = jnp.zeros_like(carry.action[:, 0])  # what is to be done is not known yet
        new = History(to_go, timestep.observation, placeholder, time, jnp.ones_like(first))
        carry = jax.tree.map(push, carry, new)
        output = applied(actor.params, None, jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), carry))
        output = jax.tree.map(lambda x: x[-1], output)
        if hasattr(output, "mode"):
            action = output.sample(key) if explore else output.mode()
        else:
            action = jnp.clip(output, -1.0, 1.0)
        return action, carry._replace(action=carry.action.at[:, -1].set(action)), {}

    def applied(params: Any, key: Key | None, rows: History) -> Any:
        rows = rows._replace(to_go=rows.to_go / scale)
        return network.apply(params, key, (), rows._asdict(), rows.mask)[0]

    def loss(params: Any, key: Key, sample: Sample) -> tuple[Array, dict[str, Array]]:
        steps, extras = sample.steps, sample.steps.extras
        rows = History(extras["to_go"], steps.timestep.observation, steps.action, extras["time"], extras["mask"])
        output = applied(params, key, rows)
        named = output.mode() if hasattr(output, "mode") else output
        if hasattr(output, "log_prob"):
            each = losses.cloning(output.log_prob(steps.action))
        else:
            each = losses.squared_cloning(output, steps.action)
        if isinstance(actions, Discrete):
            error = (named != steps.action).astype(jnp.float32)
        else:
            error = jnp.sqrt(losses.squared_cloning(named, steps.action))
        means = {name: parallel.masked_mean(x, extras["mask"]) for name, x in (("loss", each), ("action_error", error))}
        return means["loss"], means

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        state, metrics = descend(optimiser, loss, state, key, sample)
        return state, Info(metrics)

    return Agent(init, lambda state: Actor(state.params, state.target), begin, act, update)
