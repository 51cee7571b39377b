"""Learned dynamics of tasks whose observation is a vector: one network, or an ensemble that knows what it has not seen.

Chua et al., "Deep reinforcement learning in a handful of trials using probabilistic dynamics models" (PETS), NeurIPS
2018. Each member gives a normal distribution of the change of observation and of the reward, and the probability that
the episode ends, of standardised inputs:

    L = ½ Σ_d [(y_d - μ_d)² / σ_d² + ln σ_d²] + 0.01 Σ_d (ln σ²_max - ln σ²_min)_d - ln p(end),     y = (Δx, r)

with ln σ² squeezed softly between bounds that are learned. Members differ in their initial parameters, and each learns
from transitions of its own: every update shares its sample out among them.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common.moments import Moments, fresh_moments, merge, variance
from agents.world.models import Imagined, Learner, Model
from envs import parallel
from envs.base import Discrete, Space


class Dynamics(nn.Module):
    """One member: mean and log-variance of the standardised change and reward, and a logit of the end.

    The end has layers of its own; in shared ones it is hardly learned beside the likelihood of a sharp distribution.
    """

    outputs: int
    sizes: tuple[int, ...] = (128, 128)
    ends: bool = True

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array, Array]:
        """`[N, F] -> ([N, outputs], [N, outputs], [N])`."""

        def layers(x: Array, outputs: int) -> Array:
            for size in self.sizes:
                x = nn.swish(nn.Dense(size, kernel_init=nn.initializers.truncated_normal(0.5 * x.shape[-1] ** -0.5))(x))
            return nn.Dense(outputs)(x)

        high = self.param("high", nn.initializers.constant(0.5), (1, self.outputs))
        low = self.param("low", nn.initializers.constant(-10.0), (1, self.outputs))
        mean, spread = jnp.split(layers(x, 2 * self.outputs), 2, axis=-1)
        end = layers(x, 1)[:, 0] if self.ends else jnp.full(x.shape[0], -100.0)  # surely not
        spread = high - nn.softplus(high - spread)
        return mean, low + nn.softplus(spread - low), end


def floor(targets: Moments) -> np.ndarray:
    """Least variances by which the changes and the reward are scaled.

    Rewards count in units of 0.1 at least: those that were all alike so far would make the first other one enormous.
    """
    return np.append(np.full(targets.mean.shape[-1] - 1, 1e-12, np.float32), np.float32(0.01))


class State(NamedTuple):
    """What is learned, `[members, ...]`, and the scales of what goes in and comes out."""

    params: Any
    optimiser: Any
    inputs: Moments
    targets: Moments


def ensemble(
    actions: Space,
    optimiser: optax.GradientTransformation,
    *,
    sizes: tuple[int, ...] = (128, 128),
    members: int = 1,
    sampled: bool = False,
    ends: bool = True,
) -> Learner:
    """A `Learner` for observations `[D]`; what it imagines for row i comes from member i mod `members` (PETS' TS∞).

    Args:
      actions: of the task.
      optimiser: an `agents.common.optimisers` chain.
      sizes: of the hidden layers.
      members: of the ensemble; the number of rows must be a multiple of it.
      sampled: draw from the distribution, rather than take its mean.
      ends: whether episodes can end; if not, imagined discounts are 1.
    """

    def encoded(observation: Array, action: Array) -> Array:
        done = jax.nn.one_hot(action, actions.num) if isinstance(actions, Discrete) else action
        return jnp.concatenate([observation, done], -1)

    def module(targets: Moments) -> Dynamics:
        return Dynamics(targets.mean.shape[-1], sizes, ends)

    def init(key: Key, timestep: TimeStep) -> State:
        observation = timestep.observation
        if not isinstance(observation, jax.Array | np.ndarray) or observation.ndim != 2:
            raise ValueError("dynamics: observations must be vectors")
        action = jnp.zeros((observation.shape[0], *actions.shape), actions.dtype)
        row = encoded(jnp.asarray(observation), action)
        targets = fresh_moments(jnp.zeros(observation.shape[-1] + 1))
        params = jax.vmap(lambda k: module(targets).init(k, row)["params"])(jax.random.split(key, members))
        return State(params, optimiser.init(params), fresh_moments(row[0]), targets)

    def predicted(params: Any, scales: tuple[Moments, Moments], rows: Array) -> tuple[Array, Array, Array]:
        """Of `rows[M, N, F]`, those of each member."""
        inputs, targets = scales
        rows = (rows - inputs.mean[None, None]) * jax.lax.rsqrt(variance(inputs) + 1e-8)[None, None]
        made: Any = jax.vmap(lambda p, x: module(targets).apply({"params": p}, x))(params, rows)
        return made

    def shared(x: Array) -> Array:
        """`[N, ...] -> [members, N / members, ...]`, row i to member i mod `members`."""
        if x.shape[0] % members:
            raise ValueError(f"dynamics: {x.shape[0]} rows cannot be shared out among {members} members")
        return jnp.moveaxis(x.reshape((-1, members, *x.shape[1:])), 1, 0)

    def gathered(x: Array) -> Array:
        return jnp.moveaxis(x, 0, 1).reshape((-1, *x.shape[2:]))

    def step(params: tuple, key: Key, state: Array, action: Array) -> tuple[Array, Imagined]:
        nets, inputs, targets = params
        rows = shared(encoded(state, action))
        mean, spread, end = jax.tree.map(gathered, predicted(nets, (inputs, targets), rows))
        if sampled:
            mean = mean + jnp.exp(0.5 * spread) * jax.random.normal(key, mean.shape)
        change = mean * jnp.sqrt(variance(targets) + floor(targets))[None] + targets.mean[None]
        after = state + change[:, :-1]
        going_on = jnp.where(end > 0, 0.0, 1.0)
        return after, Imagined(after, change[:, -1], going_on)

    def spread(params: tuple, state: Array, action: Array) -> Array:
        nets, inputs, targets = params
        row = encoded(state, action)
        rows = jnp.broadcast_to(row[None], (members, *row.shape))
        scale = jnp.sqrt(variance(targets) + floor(targets))
        return jnp.exp(0.5 * predicted(nets, (inputs, targets), rows)[1]) * scale[None, None]

    def loss(params: Any, scales: tuple[Moments, Moments], rows: tuple) -> tuple[Array, dict[str, Array]]:
        row, target, end, mask = jax.tree.map(shared, rows)
        targets = scales[1]
        target = (target - targets.mean[None, None]) * jax.lax.rsqrt(variance(targets) + floor(targets))[None, None]
        mean, spread, logit = predicted(params, scales, row)
        terms = {
            "nll": losses.gaussian_nll(mean, spread, target),
            "end_loss": optax.sigmoid_binary_cross_entropy(logit, end),
            "model_error": jnp.mean(jnp.abs(mean - target), -1),
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        bounds = jnp.sum(params["high"] - params["low"]) / members
        total = means["nll"] + 0.01 * bounds + (means["end_loss"] if ends else 0.0)
        return members * total, {"model_loss": total, **means}

    def update(state: State, key: Key, steps: Step) -> tuple[State, dict[str, Array]]:
        del key
        observation, arrived, mask = steps.timestep.observation, steps.timestep, valid(steps)
        row = encoded(observation[:-1], steps.action[:-1])
        target = jnp.concatenate([observation[1:] - observation[:-1], arrived.reward[1:, :, None]], -1)
        state = state._replace(inputs=merge(state.inputs, row, mask), targets=merge(state.targets, target, mask))
        rows = (row, target, (arrived.discount[1:] == 0).astype(jnp.float32), mask.astype(jnp.float32))
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), rows)
        return descend(optimiser, loss, state, (state.inputs, state.targets), flat, part="model_")

    return Learner(Model(lambda x: x, step), init, lambda s: (s.params, s.inputs, s.targets), update, spread)


def shuffled(learner: Learner, part: Literal["actions", "arrivals"] = "actions") -> Learner:
    """The learner with one part of its samples interchanged: the ablation of what it says about what follows.

    Args:
      learner: what learns.
      part: "actions", or "arrivals", the observations that steps arrive at.
    """

    def update(state: Any, key: Key, steps: Step) -> tuple[Any, dict[str, Array]]:
        k_order, k_update = jax.random.split(key)
        mix: Callable[[Tree], Tree] = lambda x: jax.random.permutation(k_order, x, axis=1)  # noqa: E731
        if part == "actions":
            return learner.update(state, k_update, steps._replace(action=jax.tree.map(mix, steps.action)))
        mixed = jax.tree.map(lambda x: x.at[1:].set(mix(x[1:])), steps.timestep.observation)
        return learner.update(state, k_update, steps._replace(timestep=steps.timestep._replace(observation=mixed)))

    return learner._replace(update=update)
