"""The two-step task: does who is rewarded after a rare transition do the same again, or the other thing?

Daw et al., "Model-based influences on humans' choices and striatal prediction errors", Neuron 2011, in the form of
Wang et al., "Prefrontal cortex as a meta-reinforcement learning system", Nature Neuroscience 2018: each of two first
actions leads to its own second state, but rarely to the other's. One second state pays often and the other seldom, and
now and then they change places.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic, select
from envs.families import Family, trials
from envs.wrappers import observed


class State(NamedTuple):
    """Where the agent is: 0 for the first stage, 1 and 2 for the second states; and which of them pays often."""

    place: Array  # int32
    good: Array  # int32, 1 or 2


def family(common: float, pays: float, switch: float, choices: int) -> Family:
    """The task, which is the same in every trial but for the second state that pays at first; arguments as below."""

    def draw(key: Key) -> Array:
        return jax.random.randint(key, (), 1, 3)

    def make(first: Array) -> Environment:
        def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
            k_go, k_pay, k_switch = jax.random.split(key, 3)
            usual = jax.random.uniform(k_go) < common
            second = jnp.where(usual, action, 1 - action).astype(jnp.int32) + 1
            paid = jax.random.uniform(k_pay) < jnp.where(state.place == state.good, pays, 1 - pays)
            switched = jnp.where(jax.random.uniform(k_switch) < switch, 3 - state.good, state.good)
            arrives, returns = State(second, state.good), State(jnp.int32(0), switched)
            opens = state.place == 0
            return select(opens, arrives, returns), jnp.where(opens, 0.0, paid), jnp.bool_(False)

        spec = Spec("two_step", Box((3,), 0.0, 1.0), Discrete(2), 2 * choices)
        return episodic(
            lambda key: State(jnp.int32(0), first), transition, lambda state: jax.nn.one_hot(state.place, 3), spec
        )

    return Family(draw, make)


def two_step(
    common: float = 0.8, pays: float = 0.9, switch: float = 0.025, choices: int = 50, tasks: int = 0, seed: int = 0
) -> Environment:
    """A trial is one episode of `choices` choices, each followed by a step of the second stage, whose action does
    nothing and is not told: it could carry the second state into the next choice, as a memory.

    Args:
      common: probability that a first action leads to its own second state.
      pays: probability that the better second state pays 1; the other pays with 1 - `pays`.
      switch: probability after each choice that the two change places.
      choices: in a trial, at least 1.
      tasks: how many trials there are that differ, in what pays first; 0 draws afresh.
      seed: which they are.

    Returns:
      Observations are those of `envs.wrappers.trial`; `observation` [3] is where the agent is, one-hot.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value in (("common", common), ("pays", pays), ("switch", switch)):
        if not 0 <= value <= 1:
            raise ValueError(f"two_step: {name} must be at least 0 and at most 1, got {value}")
    if choices < 1:
        raise ValueError(f"two_step: choices must be at least 1, got {choices}")
    env = trials(family(common, pays, switch, choices), 1, tasks, seed)

    def untold(seen: dict[str, Array]) -> dict[str, Array]:
        return {**seen, "last_action": seen["last_action"] * (1 - seen["observation"][0])}

    return observed(env, untold, env.spec.observation)
