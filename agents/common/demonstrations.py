"""Learning from demonstrations beside one's own experience: what DQfD and DDPGfD share.

Hester et al., "Deep Q-learning from demonstrations", AAAI 2018; Vecerik et al., arXiv:1707.08817. Both learn from one
transition and from n at a time, from a replay that keeps the demonstrations (`replay.with_demonstrations`), and begin
with updates on these alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Key, Sample, Step, TimeStep
from envs import keys, parallel
from replay.base import Replay
from replay.relabel import n_step


class Demonstrations(NamedTuple):
    """How demonstrations enter a loss: J = J_1 + λ_n J_n + λ_E J_E, the last of them DQfD's alone."""

    n: int = 10
    """Transitions of the n-step loss, the length of the replay's windows."""
    n_weight: float | Array = 1.0
    """λ_n."""
    margin: float | Array = 0.8
    """By which the demonstrated action is to be better than any other; of DQfD."""
    margin_weight: float | Array = 1.0
    """λ_E."""
    gradient_weight: float | Array = 1.0
    """λ of |∇_a Q|² in the priority; of DDPGfD."""


def one_and_n(steps: Step, demonstrations: Demonstrations, discount: float | Array) -> Step:
    """Windows `[n + 1, N]` as transitions `[2, 2N]`: the first of each, and then the n of each folded into one."""
    unused: Any = None
    folded = n_step(demonstrations.n, discount)(steps, unused)
    single = jax.tree.map(lambda x: x[:2], steps)
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis=1), single, folded)


def joint_weight(sample: Sample, demonstrations: Demonstrations) -> Array:
    """Weights `[2N]` of `one_and_n`, under which the mean over all is J_1 + λ_n J_n."""
    weight = jnp.broadcast_to(jnp.asarray(sample.weight), sample.steps.timestep.reward.shape[1:])
    return 2 * jnp.concatenate([weight, demonstrations.n_weight * weight])


def pretrained(agent: Agent, memory: Replay, updates: int) -> Agent:
    """The agent after so many updates on what a fresh replay holds, which are part of its `init`.

    Args:
      agent: any, whose updates it makes.
      memory: that can be sampled before anything was added; its priorities move along, and a run's begin anew.
      updates: how many.
    """
    if not updates:
        return agent

    def init(key: Key, timestep: TimeStep) -> Any:
        k_init, k_act, k_learn = keys.split(key, 3)
        state = agent.init(k_init, timestep)
        carry = agent.begin(timestep.reward.shape[0])
        action, _, extras = agent.act(agent.actor(state), k_act, carry, timestep, True)
        storage = memory.init(Step(timestep, action, extras, agent.stored(carry)))

        def once(both: tuple[Any, Any], key: Key) -> tuple[tuple[Any, Any], None]:
            k_sample, k_update = keys.split(key)
            state, storage = both
            sample = memory.sample(storage, parallel.own_key(k_sample))
            state, info = agent.update(state, k_update, sample)
            return (state, memory.feedback(storage, sample.index, info)), None

        (state, _), _ = jax.lax.scan(once, (state, storage), keys.split(k_learn, updates))
        return state

    return agent._replace(init=init)
