"""Runs whose numbers are a part of their state: members of a population, and runs along a schedule.

An agent's flags are usually constants of the compiled program, or along the axis of runs an argument of it. A member
carries some of them in its agent's state instead, whence each of the agent's functions takes them: they can change
between two chunks, are saved with the run, and nothing is compiled again. To a driver it is an agent as any other.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree
from agents.common import populations
from envs import keys
from envs.base import blank
from experiments.drivers import base, devices, told
from experiments.drivers.devices import Layout
from replay.recorded import lend

if TYPE_CHECKING:
    from envs.base import Spec
    from experiments.drivers.contract import Hypers, Make, Parts


class Member(NamedTuple):
    """The state of an agent that carries its numbers, and likewise what it acts by."""

    state: Any
    values: dict[str, Any]
    """Flags by name, float32."""


def carried(make: "Make", defaults: Mapping[str, float]) -> "Make":
    """`make` of agents that carry some of their flags.

    Args:
      make: hyper-parameters of one run -> its parts.
      defaults: the flags that are carried, and what each is where the hyper-parameters do not say.
    """

    def carrying(hypers: "Hypers") -> "Parts":
        first = {name: jnp.asarray(hypers.get(name, value), jnp.float32) for name, value in defaults.items()}
        plain = make({**hypers, **defaults})

        def own(values: "Hypers") -> Agent:
            return make({**hypers, **values}).agent

        def update(member: Member, key: Key, sample: Sample) -> tuple[Member, Info]:
            state, info = own(member.values).update(member.state, key, sample)
            return Member(state, member.values), info

        def act(actor: Member, *rest: Tree) -> tuple[Tree, Tree, Tree]:
            return own(actor.values).act(actor.state, *rest)

        def init(key: Key, timestep: TimeStep) -> Member:
            return Member(own(first).init(key, timestep), first)

        def actor(member: Member) -> Member:
            return Member(own(member.values).actor(member.state), member.values)

        agent = Agent(init, actor, plain.agent.begin, act, update, plain.agent.stored)
        return plain._replace(agent=agent)

    return carrying


def stored_by(
    make: "Make",
    names: Sequence[str],
    defaults: Mapping[str, float],
    spec: "Spec",
    lanes: int,
    data: Tree,
) -> list[str]:
    """Which of some flags the replay is built with, where the agent's state cannot change them.

    Args:
      make: hyper-parameters of one run -> its parts, of an agent that carries none.
      names: flags.
      defaults: a value of each.
      spec: of the task.
      lanes: on each device.
      data: the arrays of the dataset that the replay serves, if it serves one.
    """
    fixed = make(dict(defaults))

    def served(values: "Hypers", data: Tree) -> tuple[Sample, Tree]:
        replay = make({**defaults, **values}).replay
        timestep = jax.tree.map(jnp.asarray, blank(spec, lanes))
        run = base.begin_run(fixed.agent, replay, keys.key(0), timestep)
        sample = replay.sample(lend(replay, run.replay, data), keys.key(0))
        shape = jax.eval_shape(fixed.agent.update, run.agent, keys.key(0), sample)[1]
        info = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shape)
        return sample, replay.feedback(run.replay, sample.index, info)

    values = {name: jnp.float32(defaults[name]) for name in names}
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), data)
    used = told.reads(served, values, shapes)
    return [name for name, here in zip(sorted(values), used, strict=True) if here]


def values_of(lay: Layout, agent: Member) -> dict[str, np.ndarray]:
    """The numbers that members carry, by name `[R]`."""
    return devices.collect(lay, agent.values)


def with_values(lay: Layout, agent: Member, values: Mapping[str, np.ndarray]) -> Member:
    """The members with other numbers, `[R]` each."""
    order = devices.order(lay)
    return agent._replace(
        values={
            name: jax.device_put(np.asarray(x, np.float32)[order], agent.values[name].sharding)
            for name, x in values.items()
        }
    )


def turner(
    lay: Layout, members: int, bounds: Mapping[str, populations.Bounds], **rule: Any
) -> Callable[[Member, np.ndarray, Key], tuple[Member, np.ndarray]]:
    """What lets the members of populations copy one another: `(agents, scores [R, E], key) -> (agents, parents [R])`.

    Agents are copied whole, with what their optimisers keep; lanes and replays are not.

    Args:
      lay: where the runs are, populations one after the other.
      members: of each population.
      bounds: of each number that is carried.
      **rule: as for `populations.turn`.
    """
    order = devices.order(lay)
    count = lay.runs // members

    def by_run(x: Array) -> Array:  # [G, r, ...] -> [R, ...]
        return x[0] if lay.shared else x.reshape(-1, *x.shape[2:])[: lay.runs]

    def turn(agents: Member, scores: Array, key: Key) -> tuple[Member, Array]:
        values = {name: by_run(x).reshape(count, members) for name, x in agents.values.items()}
        each = lambda k, s, v: populations.turn(k, s, v, dict(bounds), **rule)  # noqa: E731
        parents, values = jax.vmap(each)(jax.random.split(key, count), scores.reshape(count, members, -1), values)
        parents = (parents + members * jnp.arange(count)[:, None]).reshape(-1)
        state = jax.tree.map(lambda x: by_run(x)[parents][order], agents.state)
        return Member(state, {name: x.reshape(-1)[order] for name, x in values.items()}), parents

    several = len(lay.devices) > 1
    compiled = jax.jit(turn, donate_argnums=0, out_shardings=(lay.sharding, None) if several else None)

    def turned(agents: Member, scores: np.ndarray, key: Key) -> tuple[Member, np.ndarray]:
        placed = jax.tree.map(lambda x: x.sharding, agents)
        agents, parents = compiled(agents, scores, key)
        # As it was laid out, or the next chunk would be compiled anew.
        return jax.device_put(agents, placed), np.asarray(parents)

    return turned
