"""Bandits that are drawn: arms pay by probabilities, or normal amounts, that stay for one trial.

Duan et al., "RL²: Fast reinforcement learning via slow reinforcement learning", 2016, section 3.1; Wang et al.,
"Learning to reinforcement learn", 2016, sections 3.1.1 and 3.1.2, whose two dependent arms pay with p and 1 - p.
"""

from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp

from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.families import Family, judged, trials

Kind = Literal["independent", "uniform", "easy", "medium", "hard", "gaussian"]
Pays = Literal["reward", "regret"]
PAIRS = {"easy": 0.1, "medium": 0.25, "hard": 0.4}
"""The smaller of the two probabilities of dependent arms that are not drawn from all."""


def family(kind: Kind = "independent", arms: int = 2, pulls: int = 100) -> Family:
    """Bandits of a kind; arguments as for `bandits`. A task is what its arms pay on average, float32 [arms]."""

    def draw(key: Key) -> Array:
        if kind == "gaussian":
            return jax.random.normal(key, (arms,))
        if kind == "independent":
            return jax.random.uniform(key, (arms,))
        p = jax.random.uniform(key)
        if kind in PAIRS:
            p = jnp.where(p < 0.5, PAIRS[kind], 1 - PAIRS[kind]).astype(jnp.float32)
        return jnp.stack([p, 1 - p])

    def make(mean: Array) -> Environment:
        def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
            noise = mean[action] + jax.random.normal(key) if kind == "gaussian" else jax.random.uniform(key)
            reward = noise if kind == "gaussian" else (noise < mean[action]).astype(jnp.float32)
            return state + 1, reward, jnp.bool_(False)

        def observe(state: Array) -> Array:
            return jnp.reshape(state / pulls, (1,)).astype(jnp.float32)

        spec = Spec("bandits", Box((1,), 0.0, 1.0), Discrete(arms), pulls)
        return episodic(lambda key: jnp.int32(0), transition, observe, spec)

    return Family(draw, make)


def bandits(
    kind: Kind = "independent", arms: int = 2, pulls: int = 100, pays: Pays = "reward", tasks: int = 0, seed: int = 0
) -> Environment:
    """A trial is one episode of `pulls` pulls of a bandit that is drawn for it.

    Args:
      kind: "independent" arms, which pay 1 with probabilities drawn from [0, 1]; two dependent arms with p and 1 - p,
        where p is drawn from [0, 1] ("uniform"), or from 0.1 and 0.9 ("easy"), 0.25 and 0.75 ("medium"), or 0.4 and 0.6
        ("hard"); "gaussian" arms, whose means are drawn from N(0, 1) and whose noise has variance 1.
      arms: how many, at least 2.
      pulls: in a trial, at least 1.
      pays: "reward"; or "regret", to be evaluated by: what the pulled arm pays on average, less what the best one does.
        Observations tell the reward in either case.
      tasks: how many bandits there are; 0 for a fresh one in every trial.
      seed: which bandits they are.

    Returns:
      Observations are those of `envs.wrappers.trial`, with the share of pulls that are over as `observation` [1].

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, allowed in (("kind", kind, get_args(Kind)), ("pays", pays, get_args(Pays))):
        if value not in allowed:
            raise ValueError(f"bandits: {name} is {value!r}; allowed: {', '.join(allowed)}")
    for name, number, least in (("arms", arms, 2), ("pulls", pulls, 1)):
        if number < least:
            raise ValueError(f"bandits: {name} must be at least {least}, got {number}")
    if kind not in ("independent", "gaussian") and arms != 2:
        raise ValueError(f"bandits: arms is {arms}; dependent arms ({kind}) are 2")
    env = trials(family(kind, arms, pulls), 1, tasks, seed)
    return env if pays == "reward" else judged(env, regret)


def regret(task: Array, state: Any, action: Any) -> Array:
    """What an arm pays on average, less what the best one does; at most 0."""
    del state
    return task[action] - jnp.max(task)
