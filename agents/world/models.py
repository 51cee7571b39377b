"""One interface for every model of the world: simulators, learned predictors, and one that says nothing changes.

A model is stepped for N rows at once, from a state of its own that `start` makes of observations. What is learned is a
`Learner`, whose `model` takes the learner's `params`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key, Step, TimeStep, Tree, batch_of, select


class Imagined(NamedTuple):
    """What a model says comes of an action, `[N, ...]`."""

    observation: Tree
    reward: Array
    discount: Array  # 0 where the episode ends, and ever after


class Model(NamedTuple):
    """Two pure functions."""

    start: Callable[[Tree], Any]
    """`(observation[N]) -> state[N]`."""

    step: Callable[[Any, Key, Any, Tree], tuple[Any, Imagined]]
    """`(params, key, state[N], action[N]) -> (state[N], Imagined[N])`."""


class Learner(NamedTuple):
    """A model and how it is learned."""

    model: Model

    init: Callable[[Key, TimeStep], Any]
    """`(key, timestep[B]) -> State`."""

    params: Callable[[Any], Any]
    """`(State) -> params`, what `model.step` takes."""

    update: Callable[[Any, Key, Step], tuple[Any, dict[str, Array]]]
    """`(State, key, steps[T+1, N]) -> (State, metrics)`: one gradient step on the transitions of a window."""

    spread: Callable[[Any, Any, Tree], Array] | None = None
    """`(params, state[N], action[N]) -> [E, N, D]`: the standard deviations that each member of an ensemble predicts of
    the change of observation and of the reward; None for models without."""


def tiled(tree: Tree, times: int) -> Tree:
    """Each of N rows `times` times, those of one row together: row i of the result is row i // times."""
    return jax.tree.map(lambda x: jnp.repeat(x, times, axis=0), tree)


def rollout(
    model: Model, params: Any, key: Key, observation: Tree, policy: Callable[[Key, Tree], Tree], first: Tree, depth: int
) -> Imagined:
    """Imagined rows `[depth, B K]`, the first after the actions `first[B K]`, the others after those of `policy`.

    Rollout i begins at observation i // K.

    Args:
      model: to be stepped.
      params: its parameters.
      key: for the model and the policy.
      observation: where the rollouts begin, `[B, ...]`.
      policy: `(key, observation[B K]) -> action[B K]`.
      first: the first actions.
      depth: steps, at least 1.

    Raises:
      ValueError: the number of first actions is no multiple of that of observations.
    """
    times, rest = divmod(batch_of(first), batch_of(observation))
    if rest:
        raise ValueError(f"rollout: {batch_of(first)} first actions for {batch_of(observation)} observations")

    def step(carry: tuple, key: Key) -> tuple[tuple, Imagined]:
        state, action = carry
        k_model, k_policy = jax.random.split(key)
        state, imagined = model.step(params, k_model, state, action)
        return (state, policy(k_policy, imagined.observation)), imagined

    # Actions of the policy decide the types that are carried.
    like = jax.eval_shape(policy, key, jax.eval_shape(lambda: tiled(observation, times)))
    action = jax.tree.map(lambda x, y: x.astype(y.dtype), first, like)
    return jax.lax.scan(step, (tiled(model.start(observation), times), action), jax.random.split(key, depth))[1]


def returns(model: Model, params: Any, key: Key, observation: Tree, plan: Tree, discount: float | Array) -> Array:
    """Discounted sums of rewards `[N]` that action sequences `plan[H, N, ...]` earn; nothing after an end."""

    def step(carry: tuple, row: tuple) -> tuple[tuple, Array]:
        state, weight = carry
        key, action = row
        state, imagined = model.step(params, key, state, action)
        return (state, weight * discount * imagined.discount), weight * imagined.reward

    horizon, number = jax.tree.leaves(plan)[0].shape[:2]
    rows = (jax.random.split(key, horizon), plan)
    _, rewards = jax.lax.scan(step, (model.start(observation), jnp.ones(number)), rows)
    return jnp.sum(rewards, 0)


class Simulated(NamedTuple):
    """The state of a simulator."""

    inner: Any
    observation: Tree
    over: Array  # bool [N]


def simulator(
    restore: Callable[[Tree], Any],
    transition: Callable[[Key, Any, Tree], tuple[Any, Array, Array]],
    observe: Callable[[Any], Tree],
) -> Model:
    """The rules themselves, from what an observation shows.

    Args:
      restore: `(observation) -> state` of one lane.
      transition: `(key, state, action) -> (state, reward, terminated)` of one lane, as for `envs.episodic`.
      observe: `(state) -> observation` of one lane.
    """

    def start(observation: Tree) -> Simulated:
        return Simulated(jax.vmap(restore)(observation), observation, jnp.zeros(batch_of(observation), bool))

    def step(params: Any, key: Key, state: Simulated, action: Tree) -> tuple[Simulated, Imagined]:
        del params
        keys = jax.random.split(key, state.over.shape[0])
        inner, reward, terminated = jax.vmap(transition)(keys, state.inner, action)
        after = Simulated(inner, jax.vmap(observe)(inner), state.over | terminated)
        after = select(state.over, state, after)
        reward = jnp.where(state.over, 0.0, reward)
        return after, Imagined(after.observation, reward, 1.0 - after.over)

    return Model(start, step)


def copy() -> Model:
    """The copy model of the I2A paper: nothing changes and nothing is paid, so that it tells an agent nothing."""

    def step(params: Any, key: Key, state: Tree, action: Tree) -> tuple[Tree, Imagined]:
        del params, key, action
        number = batch_of(state)
        return state, Imagined(state, jnp.zeros(number), jnp.ones(number))

    return Model(lambda observation: observation, step)


def paying(model: Model, reward: Callable[[Array], Array]) -> Model:
    """The model with a reward that is known, of the observation it arrives at, in place of its own; as in PETS."""

    def step(params: Any, key: Key, state: Any, action: Tree) -> tuple[Any, Imagined]:
        state, said = model.step(params, key, state, action)
        return state, said._replace(reward=jax.vmap(reward)(said.observation))

    return model._replace(step=step)


def silent(model: Model) -> Model:
    """The model with all rewards 0."""

    def step(params: Any, key: Key, state: Any, action: Tree) -> tuple[Any, Imagined]:
        state, imagined = model.step(params, key, state, action)
        return state, imagined._replace(reward=jnp.zeros_like(imagined.reward))

    return model._replace(step=step)


def corrupted(model: Model, probability: float | Array) -> Model:
    """The model, with each cell of its one-hot frames `[N, H, W, K]` replaced by a random kind, with `probability`.

    It goes on from what it said, so errors add up. What the model's state holds beside the frame is lost.
    """

    def step(params: Any, key: Key, state: Any, action: Tree) -> tuple[Any, Imagined]:
        k_model, k_where, k_kind = jax.random.split(key, 3)
        _, imagined = model.step(params, k_model, state, action)
        frame = imagined.observation
        wrong = jax.random.uniform(k_where, frame.shape[:-1]) < probability
        kind = jax.random.randint(k_kind, frame.shape[:-1], 0, frame.shape[-1])
        frame = jnp.where(wrong[..., None], jax.nn.one_hot(kind, frame.shape[-1]), frame)
        return model.start(frame), imagined._replace(observation=frame)

    return model._replace(step=step)
