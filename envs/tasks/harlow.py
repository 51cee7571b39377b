"""Harlow's object learning: one of two objects that were never seen before is the right one, wherever it stands.

Harlow, "The formation of learning sets", Psychological Review 1949; Wang et al., "Learning to reinforcement learn",
2016, section 3.2.2, there with pictures. Whoever has learned to learn guesses once and is right from then on.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.families import Family, judged, trials

Pays = Literal["reward", "second"]
Objects = Literal["all", "trained", "held-out"]


class State(NamedTuple):
    """Where the right object stands, and how many choices were made; int32."""

    side: Array
    t: Array


def family(features: int, choices: int, objects: Objects = "all") -> Family:
    """Pairs of objects, of features -1 and 1; a task is `[2, features]`, the right one first; arguments as below."""
    free = features - (objects != "all")  # the last feature says which half of the objects this one is of

    def draw(key: Key) -> Array:
        k_right, k_by = jax.random.split(key)
        right = jax.random.bernoulli(k_right, 0.5, (free,))
        by = jax.random.randint(k_by, (), 1, 2**free)  # what differs, which is not nothing
        differs = (by >> jnp.arange(free)) % 2
        pair = jnp.stack([right, jnp.where(differs > 0, ~right, right)])
        if free < features:
            odd = jnp.sum(pair, axis=-1, keepdims=True) % 2 > 0
            pair = jnp.concatenate([pair, odd ^ (objects == "held-out")], axis=-1)
        return jnp.where(pair, 1.0, -1.0).astype(jnp.float32)

    def make(pair: Array) -> Environment:
        def side(key: Key) -> Array:
            return jax.random.randint(key, (), 0, 2)

        def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
            reward = jnp.where(action == state.side, 1.0, -1.0)
            return State(side(key), state.t + 1), reward, jnp.bool_(False)

        def observe(state: State) -> Array:
            return jnp.where(state.side == 0, jnp.concatenate(pair), jnp.concatenate(pair[::-1]))

        spec = Spec("harlow", Box((2 * features,), -1.0, 1.0), Discrete(2), choices)
        return episodic(lambda key: State(side(key), jnp.int32(0)), transition, observe, spec)

    return Family(draw, make)


def harlow(
    features: int = 6,
    choices: int = 6,
    pays: Pays = "reward",
    tasks: int = 0,
    seed: int = 0,
    objects: Objects = "all",
) -> Environment:
    """A trial is one episode of `choices` choices between the two objects of a pair that is drawn for it.

    Args:
      features: of an object, each -1 or 1; at least 1 and at most 20.
      choices: in a trial, at least 2.
      pays: "reward", 1 for the right object and -1 for the wrong one; or "second", to be evaluated by: 1 if the second
        choice is right, and nothing else. Observations tell the reward in either case.
      tasks: how many pairs there are; 0 for a fresh one in every trial.
      seed: which pairs they are.
      objects: of which "all" pairs are; or the half whose number of features 1 is even, "trained", or odd, "held-out".

    Returns:
      Observations are those of `envs.wrappers.trial`; `observation` [2 features] is the object on the left, chosen by
      action 0, and then that on the right. Which side an object is on is drawn for every choice.

    Raises:
      ValueError: an argument out of range.
    """
    if objects not in get_args(Objects):
        raise ValueError(f"harlow: objects is {objects!r}; allowed: {', '.join(get_args(Objects))}")
    least = 1 if objects == "all" else 2
    if not least <= features <= 20:
        raise ValueError(f"harlow: features must be at least {least} and at most 20, got {features}")
    if choices < 2:
        raise ValueError(f"harlow: choices must be at least 2, got {choices}")
    if pays not in get_args(Pays):
        raise ValueError(f"harlow: pays is {pays!r}; allowed: {', '.join(get_args(Pays))}")
    env = trials(family(features, choices, objects), 1, tasks, seed)
    return env if pays == "reward" else judged(env, second)


def second(task: Array, state: State, action: Any) -> Array:
    """Whether the second choice of a trial is made, and right."""
    del task
    return (state.t == 1) & (action == state.side)
