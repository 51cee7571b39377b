"""I2A: an actor-critic that imagines, for each of its actions, what would follow.

Racanière, Weber, Reichert et al., "Imagination-augmented agents for deep reinforcement learning", NeurIPS 2017. For
each action a a rollout of a model begins with a and goes on with a small policy π̂:

    T_a = (x̂_1, r̂_1), ..., (x̂_τ, r̂_τ)     x̂_{i+1}, r̂_{i+1} = M(x̂_i, â_i),  x̂_0 = x_t,  â_0 = a,  â_i ~ π̂(x̂_i)

encoded from its end to its beginning, c_a = LSTM(T_a), and π and V are computed of all codes and of model-free features
of x_t. Learned are π and V as by A2C, and π̂ by distillation, with an optimiser of its own:

    L = L_A2C,        L̂ = -λ Σ_a sg[π(a|x_t)] ln π̂(a|x_t).

The model is given and stays as it is. Rollouts are inputs: no gradient flows through them, so they are made once, when
acting, and learned from as they were.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c as actor_critic
from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, batch_of, valid
from agents.common import recurrence
from agents.world import models
from agents.world.models import Model
from envs import keys, parallel
from networks.base import Network


class State(NamedTuple):
    """What I2A learns."""

    params: Any
    optimiser: Any
    rollout: Any  # parameters of π̂
    rollout_optimiser: Any


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    rollout: Any


def imagination(
    model: Model, params: Any, rollout: Network, actions: int, depth: int
) -> Callable[[Any, Key, Tree], dict[str, Tree]]:
    """What is imagined from observations: `(rollout parameters, key, observation[B]) -> frames, rewards`.

    Frames are `[B, A, depth, ...]` and rewards `[B, A, depth]`: entry (b, a) follows from observation b and action a.
    All B · A rollouts are one batch, scanned over depth. Without a gradient.
    """

    def imagine(rollout_params: Any, key: Key, observation: Tree) -> dict[str, Tree]:
        lanes = batch_of(observation)

        def policy(key: Key, observation: Tree) -> Array:
            k_network, k_sample = jax.random.split(key)
            first = jnp.zeros((1, lanes * actions), bool)
            lifted = jax.tree.map(lambda x: x[None], observation)
            return rollout.apply(rollout_params, k_network, (), lifted, first)[0].sample(k_sample)[0]

        first = jnp.tile(jnp.arange(actions, dtype=jnp.int32), lanes)  # lane by lane: the actions change fastest
        seen = models.rollout(model, params, key, observation, policy, first, depth)

        def apart(x: Array) -> Array:
            return jnp.moveaxis(x.reshape((depth, lanes, actions, *x.shape[2:])), 0, 2)

        found = {"frames": jax.tree.map(apart, seen.observation), "rewards": apart(seen.reward)}
        return jax.lax.stop_gradient(found)

    return imagine


def i2a(
    network: Network,
    optimiser: optax.GradientTransformation,
    model: Model,
    model_params: Any,
    rollout: Network,
    rollout_optimiser: optax.GradientTransformation,
    *,
    actions: int,
    depth: int = 5,
    distillation_cost: float | Array = 0.01,
    **settings: Any,
) -> Agent:
    """The I2A agent; learns from `replay.on_policy()`.

    Args:
      network: `{"observation", "frames", "rewards"}` -> (Categorical, value), with a `networks.ImaginationTorso`;
        feed-forward.
      optimiser: an `agents.common.optimisers` chain.
      model: of the world; `agents.world.models.copy()` for the ablation.
      model_params: its parameters, which stay as they are.
      rollout: π̂, observation -> Categorical; feed-forward.
      rollout_optimiser: its own chain.
      actions: A.
      depth: τ.
      distillation_cost: λ.
      **settings: of `agents.a2c`.
    """
    inner = actor_critic.a2c(network, optimiser, **settings)
    imagine = imagination(model, model_params, rollout, actions, depth)

    def seeing(timestep: TimeStep, imagined: dict[str, Tree]) -> TimeStep:
        return timestep._replace(observation={"observation": timestep.observation, **imagined})

    def init(key: Key, timestep: TimeStep) -> State:
        k_rollout, k_imagine, k_network = jax.random.split(key, 3)
        params = rollout.init(k_rollout, timestep.observation)
        begun = inner.init(k_network, seeing(timestep, imagine(params, k_imagine, timestep.observation)))
        return State(begun.params, begun.optimiser, params, rollout_optimiser.init(params))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_imagine, k_network, k_sample = jax.random.split(key, 3)
        # Greedy play imagines with the same numbers every time, so that it depends on no key.
        imagined = imagine(actor.rollout, k_imagine if explore else keys.key(0), timestep.observation)
        (policy, value), _ = recurrence.step(network, actor.params, k_network, (), seeing(timestep, imagined))
        action, log_prob = policy.sample_and_log_prob(k_sample)
        extras = {"log_prob": log_prob, "value": value, "logits": policy.logits, "imagined": imagined}
        return action if explore else policy.mode(), carry, extras

    def distil(params: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        before = recurrence.before(steps)
        student, _ = rollout.apply(params, None, (), before.timestep.observation, before.timestep.first())
        each = losses.distillation(before.extras["logits"], student.logits)
        mean = parallel.masked_mean(distillation_cost * each, valid(steps))
        divergence = each - losses.entropy(before.extras["logits"])
        return mean, {"distillation": mean, "rollout_kl": parallel.masked_mean(divergence, valid(steps))}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        seen = steps._replace(timestep=seeing(steps.timestep, steps.extras["imagined"]))
        learned = actor_critic.State(state.params, state.optimiser)
        learned, info = inner.update(learned, key, sample._replace(steps=seen))
        taught = actor_critic.State(state.rollout, state.rollout_optimiser)
        taught, metrics = actor_critic.descend(rollout_optimiser, distil, taught, steps, part="rollout_")
        return State(*learned, *taught), Info({**info.metrics, **metrics})

    return Agent(init, lambda state: Actor(state.params, state.rollout), lambda batch: (), act, update)
