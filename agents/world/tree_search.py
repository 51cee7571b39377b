"""Planning for discrete actions: flat Monte-Carlo search, and tree search by the package mctx.

Both are `agents.world.planning.Planner`s on any `agents.world.models.Model`, true or learned.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Array, Key, Tree, batch_of
from agents.world import models
from agents.world.models import Model
from agents.world.planning import Planner, nothing, scored, uniform
from envs.base import Discrete


def monte_carlo(model: Model, actions: Discrete, depth: int, rollouts: int, discount: float | Array = 1.0) -> Planner:
    """Flat search: the action whose `rollouts`, that go on at random for `depth` steps in all, earn most on average."""

    def plan(params: Any, key: Key, carry: Any, observation: Tree) -> tuple[Array, Any]:
        k_plans, k_model = jax.random.split(key)
        lanes, num = batch_of(observation), actions.num
        later = uniform(actions, k_plans, (lanes, num * rollouts, depth - 1))
        first = jnp.broadcast_to(jnp.repeat(jnp.arange(num, dtype=jnp.int32), rollouts)[None], later.shape[:2])
        plans = jnp.concatenate([first[..., None], later], -1)
        score = scored(model, params, k_model, observation, plans, discount, 1).reshape((lanes, num, rollouts))
        return jnp.argmax(jnp.mean(score, -1), -1).astype(jnp.int32), carry

    return Planner(nothing, plan)


def mcts(
    model: Model,
    actions: Discrete,
    simulations: int,
    depth: int,
    discount: float | Array = 0.99,
    heuristic: Callable[[Any, Tree], tuple[Array, Array]] | None = None,
) -> Planner:
    """Tree search by the package mctx, with PUCT (Schrittwieser et al., 2020).

    Args:
      model: to be searched; its state is what the nodes hold.
      actions: discrete.
      simulations: nodes that are added for each action taken.
      depth: of a random rollout that values a new node, without a heuristic.
      discount: γ.
      heuristic: `(params, observation[N]) -> (prior logits [N, A], value [N])`.
    """
    import mctx

    def judged(params: Any, key: Key, observation: Tree) -> tuple[Array, Array]:
        if heuristic is not None:
            return heuristic(params, observation)
        lanes = batch_of(observation)
        plan = uniform(actions, key, (depth, lanes))
        return jnp.zeros((lanes, actions.num)), models.returns(model, params, key, observation, plan, discount)

    def recurrent(params: Any, key: Key, action: Array, state: Any) -> tuple[Any, Any]:
        k_model, k_judge = jax.random.split(key)
        after, said = model.step(params, k_model, state, action)
        logits, value = judged(params, k_judge, said.observation)
        value = value * said.discount
        found = mctx.RecurrentFnOutput(
            reward=said.reward, discount=discount * said.discount, prior_logits=logits, value=value
        )
        return found, after

    def plan(params: Any, key: Key, carry: Any, observation: Tree) -> tuple[Array, Any]:
        k_judge, k_search = jax.random.split(key)
        logits, value = judged(params, k_judge, observation)
        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=model.start(observation))
        found = mctx.muzero_policy(
            params, k_search, root, recurrent, simulations, dirichlet_fraction=0.0, temperature=0.0
        )
        return found.action.astype(jnp.int32), carry

    return Planner(nothing, plan)
