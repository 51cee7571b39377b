"""Cross-domain perceptual rewards: a goal that is told in one domain pays for states of another.

Edwards, Sood and Isbell, "Cross-domain perceptual reward functions", 2017 (arXiv:1705.09045). One tower f embeds
states, another g goals as the other domain shows them. They learn from examples, each a state, a goal and how far apart
the two are, and are then frozen; any agent learns from

    r_t = -‖f(x_t) - g(c)‖        or        e^-‖f(x_t) - g(c)‖

and never sees the reward of the task. All states of a batch are compared with all of its goals. The labels are either
distances, which the towers' are to be, or whether the two are the same.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, valid
from agents.common import optimisers
from envs import keys, parallel

Labels = Literal["graded", "same"]


class Towers(NamedTuple):
    """Two modules `observation [..., *shape] -> [..., D]`."""

    state: nn.Module
    goal: nn.Module


class Examples(NamedTuple):
    """What is shown to the towers, `[M, ...]`: states with what they reach, and goals in either form."""

    state: Tree
    achieved: Array  # [M, G]
    sign: Tree
    desired: Array  # [M, G]


class Learning(NamedTuple):
    """How the towers learn."""

    updates: int = 12_000
    """On so many batches; 0 leaves them as they were drawn."""
    batch_size: int = 128
    """Examples of a batch, of which all states are compared with all goals."""
    labels: Labels = "graded"
    """Distances, or whether state and goal are the same."""
    margin: float | Array = 1.0
    """By which others are to be apart, with labels that say "same"."""


class State(NamedTuple):
    """The agent's state, the towers' parameters, and the loss of their last batches."""

    inner: Any
    towers: tuple[Any, Any]
    loss: Array

    @property
    def params(self) -> Any:
        """What the agent learns."""
        return self.inner.params


class Actor(NamedTuple):
    """What acting needs."""

    inner: Any
    towers: tuple[Any, Any]


def distances(towers: Towers, params: tuple[Any, Any], state: Tree, sign: Tree) -> Array:
    """‖f(x) - g(c)‖ of states and goals `[...]` that are compared one by one."""
    embedded = (jnp.asarray(tower.apply(each, x)) for tower, each, x in zip(towers, params, (state, sign), strict=True))
    return losses.tower_distance(*embedded)


def tower_loss(towers: Towers, params: tuple[Any, Any], batch: Examples, learning: Learning) -> Array:
    """Mean loss of all states `[M]` with all goals `[M]` of a batch.

    With labels that say "same", the pairs that are and those that are not count half each, however many there are.
    """
    f, g = (jnp.asarray(towers[i].apply(params[i], x)) for i, x in enumerate((batch.state, batch.sign)))
    distance = losses.tower_distance(f[:, None], g[None])
    target = losses.tower_distance(batch.achieved[:, None], batch.desired[None])
    if learning.labels == "graded":
        return jnp.mean(losses.graded_likeness(distance, target))
    same = target == 0
    each = losses.margin_contrast(distance, same, learning.margin)
    halves = (jnp.sum(each * part) / jnp.maximum(jnp.sum(part), 1) for part in (same, ~same))
    return 0.5 * sum(halves, jnp.float32(0))


def learned(
    towers: Towers, shown: Examples, optimiser: optax.GradientTransformation, learning: Learning, key: Key
) -> tuple[tuple[Any, Any], Array]:
    """The towers' parameters after learning from examples, and the mean loss of the last tenth of the batches.

    Args:
      towers: their modules.
      shown: examples `[M, ...]`.
      optimiser: an `agents.common.optimisers` chain.
      learning: how.
      key: of parameters and batches.
    """
    k_state, k_goal, k_learn = keys.split(key, 3)
    first = jax.tree.map(lambda x: x[:1], shown)
    params = towers.state.init(k_state, first.state), towers.goal.init(k_goal, first.sign)
    if not learning.updates:
        return params, jnp.float32(0)
    number = len(shown.desired)

    def once(learner: tuple[Any, Any], key: Key) -> tuple[tuple[Any, Any], Array]:
        params, state = learner
        draw = parallel.own_key(key)
        chosen = jax.random.randint(draw, (learning.batch_size,), 0, number)
        batch = jax.tree.map(lambda x: x[chosen], shown)
        value, gradients = jax.value_and_grad(lambda p: tower_loss(towers, p, batch, learning))(params)
        params, state, _ = optimisers.step(optimiser, gradients, state, params)
        return (params, state), value

    (params, _), told = jax.lax.scan(once, (params, optimiser.init(params)), keys.split(k_learn, learning.updates))
    return params, parallel.mean(jnp.mean(told[-max(1, learning.updates // 10) :]))


def perceptual(
    agent: Agent,
    towers: Towers,
    optimiser: optax.GradientTransformation,
    shown: Callable[[Key], Examples],
    learning: Learning,
    *,
    form: losses.Form = "distance",
    state: str = "observation",
    sign: str = "sign",
) -> Agent:
    """The agent, which is paid by towers that learned from examples when it was made, and sees two entries alone.

    Args:
      agent: any, for observations of the entries `state` and `sign`.
      towers: of these two.
      optimiser: the towers'.
      shown: `(key) -> examples`.
      learning: how the towers learn.
      form: of the reward.
      state: entry of the observation that shows the state.
      sign: entry that tells the goal.
    """

    def seen(towers_params: tuple[Any, Any], timestep: TimeStep) -> TimeStep:
        shown = {name: timestep.observation[name] for name in (state, sign)}
        apart = distances(towers, towers_params, shown[state], shown[sign])
        reward = jax.lax.stop_gradient(losses.perceptual_reward(apart, form))
        return timestep._replace(observation=shown, reward=jnp.where(timestep.first(), 0.0, reward))

    def init(key: Key, timestep: TimeStep) -> State:
        k_agent, k_shown, k_learn = keys.split(key, 3)
        params, loss = learned(towers, shown(k_shown), optimiser, learning, k_learn)
        return State(agent.init(k_agent, seen(params, timestep)), params, loss)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.inner, key, carry, seen(actor.towers, timestep), explore)

    def update(held: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps._replace(timestep=seen(held.towers, sample.steps.timestep))
        learner, info = agent.update(held.inner, key, sample._replace(steps=steps))
        paid = parallel.masked_mean(steps.timestep.reward[1:], valid(steps))
        metrics = {**info.metrics, "perceptual_reward": paid, "tower_loss": held.loss}
        return held._replace(inner=learner), info._replace(metrics=metrics)

    actor = lambda held: Actor(agent.actor(held.inner), held.towers)  # noqa: E731
    return agent._replace(init=init, actor=actor, act=act, update=update)
