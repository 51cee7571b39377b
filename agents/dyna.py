"""Dyna around any agent that learns from a replay: it also learns from what a learned model says of past actions.

Sutton, "Integrated architectures for learning, planning, and reacting based on approximating dynamic programming", ICML
1990. An update takes a sample of (n + 1) N transitions. N of them are learned from as they are and the model from all;
of each of the n other parts the states and actions alone are kept,

    (x, a) → M → (x̂', r̂, γ̂),

and the agent learns from these as if they had happened. Every update is thus n + 1 of the agent's.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import FIRST, LAST, MID, Agent, Info, Key, Sample, Step, TimeStep
from agents.world.models import Learner


class State(NamedTuple):
    """The agent's state, the model's, and how often both learned."""

    inner: Any
    model: Any
    updates: jax.Array  # int32


def imagined(learner: Learner, model_state: Any, key: Key, steps: Step) -> Step:
    """The transitions `[2, N]` of a sample, with what the model says in place of what came of them."""
    before, after = (jax.tree.map(lambda x, i=i: x[i], steps) for i in (0, 1))
    begun = learner.model.start(before.timestep.observation)
    _, said = learner.model.step(learner.params(model_state), key, begun, before.action)
    kind = jnp.where(said.discount == 0, LAST, MID)
    # An action that was ignored, because its episode was over, led nowhere.
    kind = jnp.where(after.timestep.step_type == FIRST, FIRST, kind).astype(jnp.int8)
    arrived = TimeStep(kind, said.reward, said.discount, said.observation)
    return jax.tree.map(lambda a, b: jnp.stack([a, b]), before, after._replace(timestep=arrived))


def dyna(agent: Agent, learner: Learner, n: int, warmup: int = 0) -> Agent:
    """The agent with n planning updates after each of its own; learns from samples of (n + 1) times its batch.

    Args:
      agent: learns from transitions `[2, N]` drawn uniformly (`replay.uniform`, one step each).
      learner: of the model, such as `agents.world.dynamics.ensemble`.
      n: planning updates.
      warmup: updates of the model before the agent believes it; until then imagined transitions have weight 0.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_model = jax.random.split(key)
        return State(agent.init(k_agent, timestep), learner.init(k_model, timestep), jnp.int32(0))

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        rows, number = sample.steps.timestep.reward.shape
        if rows != 2 or number % (n + 1):
            raise ValueError(f"dyna: samples are [{rows}, {number}]; needed are [2, N] with N a multiple of {n + 1}")
        k_model, k_real, k_plan = jax.random.split(key, 3)
        model, metrics = learner.update(state.model, k_model, sample.steps)
        parts = jax.tree.map(lambda x: x.reshape((2, n + 1, -1, *x.shape[2:])).swapaxes(0, 1), sample.steps)
        real, others = jax.tree.map(lambda x: x[0], parts), jax.tree.map(lambda x: x[1:], parts)
        inner, info = agent.update(state.inner, k_real, Sample(real))
        believed = jnp.broadcast_to(jnp.where(state.updates >= warmup, 1.0, 0.0), (number // (n + 1),))

        def plan(inner: Any, part: tuple[Key, Step]) -> tuple[Any, None]:
            k_said, k_inner = jax.random.split(part[0])
            steps = imagined(learner, model, k_said, part[1])
            return agent.update(inner, k_inner, Sample(steps, weight=believed))[0], None

        if n:
            inner, _ = jax.lax.scan(plan, inner, (jax.random.split(k_plan, n), others))
        return State(inner, model, state.updates + 1), Info({**metrics, **info.metrics})

    return agent._replace(init=init, actor=lambda state: agent.actor(state.inner), update=update)
