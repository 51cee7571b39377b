"""An update in two halves: the gradient that it would descend, and the descent of one that is given.

What an agent's update does with its gradient, and what it takes that from, are told apart at the one place where agents
step their optimisers (`agents.common.optimisers.instead`). All else of an update is then dead code on either side.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, Tree
from agents.common import optimisers
from envs import keys as run_keys
from envs.base import blank
from experiments.drivers import told

if TYPE_CHECKING:
    import optax

    from envs.base import Spec
    from experiments.drivers.contract import Parts


def gradient(agent: Agent, state: Tree, key: Key, sample: Sample) -> tuple[Tree, Info]:
    """The gradient that an update would descend, and what it reports.

    Raises:
      ValueError: it descends none, or several.
    """
    seen: list[Any] = []

    def keep(
        optimiser: "optax.GradientTransformation", gradients: Tree, state: Tree, params: Tree, part: str
    ) -> tuple[Tree, Tree, dict[str, Array]]:
        seen.append(gradients)
        return params, state, {}

    with optimisers.instead(keep):
        _, info = agent.update(state, key, sample)
    if len(seen) != 1:
        raise ValueError(
            f"its updates take {len(seen)} gradient steps; gradients are sent by agents that take one step"
        )
    return seen[0], info


def apply(agent: Agent, state: Tree, key: Key, given: Tree, like: Tree) -> tuple[Tree, dict[str, Array]]:
    """An update that descends a given gradient: the state after it, and what the optimiser tells.

    Args:
      agent: whose update it is.
      state: its.
      key: of the update.
      given: the gradient.
      like: the shapes of a sample.
    """
    measures: dict[str, Any] = {}

    def descend(
        optimiser: "optax.GradientTransformation", gradients: Tree, state: Tree, params: Tree, part: str
    ) -> tuple[Tree, Tree, dict[str, Array]]:
        params, state, measured = optimisers.step(optimiser, given, state, params, part)
        measures.update(measured)
        return params, state, measured

    nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), like)
    with optimisers.instead(descend):
        state, _ = agent.update(state, key, nothing)
    return state, measures


def check(parts: "Parts", spec: "Spec", lanes: int) -> None:
    """Refuses agents whose updates are more than one step down a gradient.

    Raises:
      ValueError: saying why.
    """
    like = told.sample_of(parts, spec, lanes)
    state = jax.eval_shape(parts.agent.init, run_keys.key(0), blank(spec, 1))

    slope, _ = jax.eval_shape(partial(gradient, parts.agent), state, run_keys.key(0), like)

    def whole(sample: Sample, state: Tree, slope: Tree) -> Tree:
        seen: list[Any] = []

        def descend(
            optimiser: "optax.GradientTransformation", gradients: Tree, state: Tree, params: Tree, part: str
        ) -> tuple[Tree, Tree, dict[str, Array]]:
            seen.append(1)
            return optimisers.step(optimiser, slope, state, params, part)

        with optimisers.instead(descend):
            return parts.agent.update(state, run_keys.key(0), sample)[0]

    if any(told.reads(whole, like, state, slope)):
        raise ValueError("it learns from its samples in other ways than by one gradient: in a loop, or by statistics")


def needed(parts: "Parts", spec: "Spec", lanes: int) -> list[bool]:
    """Which leaves of the agent's state a gradient, and what is reported with it, depend on."""
    state = jax.eval_shape(parts.agent.init, run_keys.key(0), blank(spec, 1))

    def graded(state: Tree, sample: Sample) -> Tree:
        slope, info = gradient(parts.agent, state, run_keys.key(0), sample)
        return slope, info.priority, dict(info.metrics)

    return told.reads(graded, state, told.sample_of(parts, spec, lanes))
