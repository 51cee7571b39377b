"""Which part of an agent's state tells the priorities of windows, and how: for actors who say with what they enter.

A priority is what `Agent.update` reports of a window, so that the learner's formula is the actor's. The step that the
update makes beside it is dead code, which XLA leaves out; and what only that step reads need not be shipped.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Sample, Step, Tree
from envs import keys
from envs.base import blank
from experiments.drivers import base

if TYPE_CHECKING:
    from envs.base import Spec
    from experiments.drivers.contract import Make, Parts


def reads(function: Callable[..., Tree], first: Tree, *others: Tree) -> list[bool]:
    """Which leaves of the first argument the results of a function depend on; arguments may be shapes."""
    traced = jax.make_jaxpr(function)(first, *others).jaxpr
    is_value = lambda var: not hasattr(var, "val")  # noqa: E731
    read = {var for var in traced.outvars if is_value(var)}
    for equation in reversed(traced.eqns):
        if read & set(equation.outvars):
            read |= {var for var in equation.invars if is_value(var)}
    return [var in read for var in traced.invars[: len(jax.tree.leaves(first))]]


def chosen(tree: Tree, used: list[bool]) -> list[Array]:
    """The leaves that are read, in their order."""
    return [x for x, here in zip(jax.tree.leaves(tree), used, strict=True) if here]


def completed(shape: Tree, used: list[bool]) -> Callable[[list[Array]], Tree]:
    """The inverse: a tree of that shape from the leaves that are read; all others are 0."""
    flat: list[Any] = jax.tree.leaves(shape)
    structure: Any = jax.tree.structure(shape)

    def whole(leaves: list[Array]) -> Tree:
        given = iter(leaves)
        return structure.unflatten([next(given) if here else _zeros(x) for x, here in zip(flat, used, strict=True)])

    return whole


def state_of(make: "Make", spec: "Spec") -> Tree:
    """The shapes of an agent's state."""
    return jax.eval_shape(make({"run": 0}).agent.init, keys.key(0), blank(spec, 1))


def sample_of(parts: "Parts", spec: "Spec", lanes: int, groups: int = 1) -> Sample:
    """The shapes of a sample of a replay that so many lanes fill."""

    def sample() -> Sample:
        timestep = jax.tree.map(jnp.asarray, blank(spec, lanes))
        run = base.begin_run(parts.agent, parts.replay, keys.key(0), timestep, groups)
        return parts.replay.sample(run.replay, keys.key(0))

    return jax.eval_shape(sample)


def transitions(steps: Step | Sequence[Step]) -> int:
    """How many transitions are learned from in a sample; in one of several kinds, those of the first."""
    steps = steps if isinstance(steps, Step) else steps[0]
    rows, windows = steps.timestep.step_type.shape[:2]
    return (rows - 1) * windows


def priorities(make: "Make", spec: "Spec") -> Callable[[list[Array], Step, Key], Array]:
    """`(leaves, rows[minimum - 1 + T, B], key) -> [n]` of one run: priorities of all windows that T rows complete.

    `leaves` are those of the agent's state that `needed` names.
    """
    whole = completed(state_of(make, spec), needed(make, spec))
    return lambda leaves, rows, key: _reported(make, whole(leaves), rows, key)


def needed(make: "Make", spec: "Spec") -> list[bool]:
    """Which leaves of the agent's state the priorities of windows depend on.

    Raises:
      ValueError: the replay hands out no such windows, or not of so many rows, or the agent tells no priorities.
    """
    parts = make({"run": 0})
    if parts.replay.every is None:
        raise ValueError("--actor-priorities: this replay's windows are not cut from an actor's rows")
    row, held = jax.eval_shape(partial(_row, make, spec)), parts.replay.minimum - 1 + parts.schedule.unroll
    rows = jax.tree.map(lambda x: jax.ShapeDtypeStruct((held, *x.shape), x.dtype), row)
    try:
        jax.eval_shape(parts.replay.every, rows)
    except ValueError as error:
        raise ValueError(f"--actor-priorities: {error}; --actor-rows sets how many there are") from None
    state = state_of(make, spec)
    if jax.eval_shape(partial(_reported, make), state, rows, keys.key(0)) is None:
        raise ValueError("--actor-priorities: this agent tells no priorities of what it learns from")
    return reads(partial(_reported, make), state, rows, keys.key(0))


def size_of_row(make: "Make", spec: "Spec") -> int:
    """Bytes of one row of one lane, as it is shipped."""
    pack, row = make({"run": 0}).replay.pack, partial(_row, make, spec)
    return _bytes(jax.eval_shape(lambda: pack(jax.tree.map(lambda x: x[None], row())) if pack else row()))


def size_of_state(make: "Make", spec: "Spec") -> int:
    """Bytes of an agent's state, and no less than those of a gradient."""
    return _bytes(state_of(make, spec))


def _bytes(shapes: Tree) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(shapes))


def _reported(make: Any, state: Tree, rows: Step, key: Key) -> Array:
    parts = make({"run": 0})
    return parts.agent.update(state, key, parts.replay.every(rows))[1].priority


def _row(make: "Make", spec: "Spec") -> Step:
    agent, timestep = make({"run": 0}).agent, jax.tree.map(jnp.asarray, blank(spec, 1))
    actor = agent.actor(agent.init(keys.key(0), timestep))
    return base.act_row(agent, actor, base.begin(agent, 1), keys.key(0), timestep)[0]


def _zeros(x: Array) -> Array:
    if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
        return keys.key(np.zeros(x.shape, np.int32))
    return jnp.zeros(x.shape, x.dtype)
