"""MOPO around an agent: it learns from what an ensemble of models imagines, paid less where the models are unsure.

Yu et al., "MOPO: model-based offline policy optimization", NeurIPS 2020. Every update fits the models to its sample,
follows the agent's policy from states of the data for a few steps,

    x̂', r̂ ~ M(x̂, a)      a ~ π(·|x̂)      r̃ = r̂ - λ max_e ‖σ_e(x̂, a)‖

and has the agent learn from these transitions and a few real ones at once. With λ = 0 and a penalty of the critics
(`agents.common.penalties.imagined_over_real`) it is COMBO (Yu et al., NeurIPS 2021).
"""

from typing import Any

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import FIRST, LAST, MID, Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.dyna import State
from agents.world.models import Learner


def mopo(
    agent: Agent,
    learner: Learner,
    *,
    starts: int,
    depth: int,
    real: int,
    penalty: float | Array = 1.0,
    warmup: int | Array = 0,
) -> Agent:
    """The agent, which learns from `starts` x `depth` imagined transitions and `real` ones in each update.

    Args:
      agent: acts without memory and learns from transitions `[2, N]`, the imagined ones first.
      learner: of the models, with a `spread`, such as `agents.world.dynamics.ensemble`.
      starts: rollouts, which begin at the first windows of the sample.
      depth: their steps.
      real: transitions of the sample that the agent learns from, the last ones.
      penalty: λ.
      warmup: updates of the models before the agent learns from what they imagine.

    Raises:
      ValueError: the learner has no `spread`.
    """
    spread = learner.spread
    if spread is None:
        raise ValueError("learner: tells no spread of its predictions, which the reward is lowered by")

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_model = jax.random.split(key)
        return State(agent.init(k_agent, timestep), learner.init(k_model, timestep), jnp.int32(0))

    def imagined(state: State, params: Any, key: Key, observation: Tree) -> tuple[Step, Array]:
        """Transitions `[2, depth x starts]`, and the mean uncertainty of them."""
        actor = agent.actor(state.inner)
        believed = state.updates >= warmup

        def step(carry: tuple, key: Key) -> tuple[tuple, tuple]:
            model_state, seen, alive = carry
            k_act, k_model = jax.random.split(key)
            before = TimeStep(jnp.full(starts, MID, jnp.int8), jnp.zeros(starts), jnp.ones(starts), seen)
            action, _, _ = agent.act(actor, k_act, agent.begin(starts), before, True)
            unsure = losses.uncertainty(spread(params, model_state, action))
            model_state, said = learner.model.step(params, k_model, model_state, action)
            # What leads into a FIRST row is learned from by nobody.
            kind = jnp.where(alive & believed, jnp.where(said.discount == 0, LAST, MID), FIRST).astype(jnp.int8)
            after = TimeStep(kind, said.reward - penalty * unsure, said.discount, said.observation)
            return (model_state, said.observation, alive & (said.discount != 0)), (before, after, action, unsure)

        begun = (learner.model.start(observation), observation, jnp.ones(starts, bool))
        _, (before, after, action, unsure) = jax.lax.scan(step, begun, jax.random.split(key, depth))
        flat = lambda x: x.reshape(-1, *x.shape[2:])  # noqa: E731
        timestep = jax.tree.map(lambda a, b: jnp.stack([flat(a), flat(b)]), before, after)
        return Step(timestep, jnp.stack([flat(action)] * 2)), jnp.mean(unsure)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_model, k_imagine, k_inner = jax.random.split(key, 3)
        steps = sample.steps._replace(extras=(), carry=())
        if steps.timestep.reward.shape[0] != 2 or steps.timestep.reward.shape[1] < max(starts, real):
            raise ValueError(
                f"mopo: samples are {steps.timestep.reward.shape}; needed are [2, N], N >= starts and real"
            )
        model, metrics = learner.update(state.model, k_model, steps)
        begin = jax.tree.map(lambda x: x[0, :starts], steps.timestep.observation)
        made, unsure = imagined(state, learner.params(model), k_imagine, begin)
        lived = jax.tree.map(lambda x: x[:, x.shape[1] - real :], steps)
        both = jax.tree.map(lambda a, b: jnp.concatenate([a, b.astype(a.dtype)], axis=1), made, lived)
        inner, info = agent.update(state.inner, k_inner, Sample(both))
        metrics = {**metrics, **info.metrics, "uncertainty": unsure}
        return State(inner, model, state.updates + 1), Info(metrics)

    return agent._replace(init=init, actor=lambda state: agent.actor(state.inner), update=update)
