"""Planning with a model of unknown loads: an ensemble that is told a latent number, inferred while it flies.

Belkhale, Li, Kahn, McAllister, Calandra and Levine, "Model-based meta-reinforcement learning for flight with suspended
payloads", RA-L 2021. Of each load k that is trained with there is a posterior q_k(z) = N(μ_k, σ_k²), and ensemble θ and
posteriors descend in turn

    E_{z ~ q_k}[ -ln p_θ(s_{t+1} - s_t | s_t, a_t, z) ]        and the same + β KL(q_k ‖ N(0, 1))

with a normal p of fixed width. In flight the load is unknown. z is then the number among a grid under which the last
transitions and the prior N(0, 1) are likeliest, and actions are planned by CEM with the ensemble's mean.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select, valid
from agents.common import optimisers
from agents.common.moments import Moments, fresh_moments, merge, variance
from agents.world import planning
from agents.world.models import Imagined, Model
from envs import parallel
from envs.base import Box

KEYS = ("state", "goals", "load")
"""What an observation holds: the state `[D]`, its first number a place that dynamics do not depend on and its third the
load's offset from it; where the load is to be after each step of a plan `[H]`; and the load's number `[1]`, from 0 to
the bound of its space."""
GRID = 61
Latent = Literal["inferred", "prior", "wrong", "pooled"]


class Net(nn.Module):
    """State without its place, action and z `[N, D + 1]` -> the change of the state `[N, D]`, all normalised."""

    hidden: tuple[int, ...]
    outputs: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """The mean of the change."""
        for width in self.hidden:
            x = nn.tanh(nn.Dense(width)(x))
        return nn.Dense(self.outputs)(x)


class Latents(NamedTuple):
    """The posteriors of the loads, `[K]` each."""

    mean: Array
    log_deviation: Array


class Fitted(NamedTuple):
    """What acting needs."""

    nets: Any  # [E, ...]
    latents: Latents
    inputs: Moments
    changes: Moments


class State(NamedTuple):
    """What is learned."""

    fitted: Fitted
    optimiser: Any
    latent_optimiser: Any


class Memory(NamedTuple):
    """What a stream keeps of its episode, `[B, ...]`."""

    before: Array  # the last state
    action: Array
    rows: Array  # [B, W, D], of the last W transitions, the newest last
    changes: Array
    known: Array  # [B, W] bool
    plan: Any


def kl(latents: Latents) -> Array:
    """KL(N(μ, σ²) ‖ N(0, 1)) of each load, `[K]`."""
    mean, log_deviation = latents
    return 0.5 * (jnp.square(mean) + jnp.exp(2 * log_deviation) - 1) - log_deviation


def predicted(net: Net, fitted: Fitted, rows: Array, z: Array) -> Array:
    """The changes `[E, N, D]` that each member predicts of `rows [N, D]` and `z [N]`, normalised."""
    scaled = (rows - fitted.inputs.mean[None]) * jax.lax.rsqrt(variance(fitted.inputs) + 1e-6)[None]
    x = jnp.concatenate([scaled, z[:, None]], axis=-1)
    made: Any = jax.vmap(lambda params: net.apply(params, x))(fitted.nets)
    return made


def nll(net: Net, fitted: Fitted, rows: Array, changes: Array, z: Array, width: float | Array) -> Array:
    """-ln p of changes `[N, D]` without its constant, the mean over members, `[N]`."""
    target = (changes - fitted.changes.mean[None]) * jax.lax.rsqrt(variance(fitted.changes) + 1e-8)[None]
    error = predicted(net, fitted, rows, z) - target[None]
    return jnp.mean(0.5 * jnp.sum(jnp.square(error / width), axis=-1), axis=0)


def inferred(net: Net, fitted: Fitted, memory: Memory, width: float | Array) -> Array:
    """The likeliest z `[B]` on a grid from -3 to 3, of what a stream has seen."""
    grid = jnp.linspace(-3.0, 3.0, GRID)
    lanes, window = memory.known.shape
    flat = lambda x: x.reshape((lanes * window, x.shape[-1]))  # noqa: E731

    def cost(z: Array) -> Array:
        each = nll(net, fitted, flat(memory.rows), flat(memory.changes), jnp.full(lanes * window, z), width)
        return jnp.sum(jnp.where(memory.known, each.reshape((lanes, window)), 0.0), axis=-1) + z**2 / 2

    return grid[jnp.argmin(jax.lax.map(cost, grid), axis=0)]


def imagination(net: Net) -> Model:
    """The ensemble's mean as a model of dicts with "state", "goals" and "z", whose reward is minus the distance."""

    def step(fitted: Fitted, key: Key, now: tuple, action: Array) -> tuple[tuple, Imagined]:
        del key
        seen, number = now
        state = seen["state"]
        rows = jnp.concatenate([state[:, 1:], action], axis=-1)
        change = jnp.mean(predicted(net, fitted, rows, seen["z"]), axis=0)
        scale = jnp.sqrt(variance(fitted.changes) + 1e-8)
        state = state + change * scale[None] + fitted.changes.mean[None]
        after = {**seen, "state": state}
        goal = seen["goals"][:, jnp.minimum(number, seen["goals"].shape[1] - 1)]
        reward = -jnp.abs(state[:, 0] + state[:, 2] - goal)
        return (after, number + 1), Imagined(after, reward, jnp.ones_like(reward))

    return Model(lambda observation: (observation, jnp.int32(0)), step)


def meta_mpc(
    actions: Box,
    optimiser: optax.GradientTransformation,
    latent_optimiser: optax.GradientTransformation,
    *,
    dims: int,
    loads: int,
    plan: Callable[[Model], planning.Planner],
    hidden: tuple[int, ...] = (64, 64),
    members: int = 3,
    width: float | Array = 0.15,
    beta: float | Array = 0.1,
    window: int = 30,
    latent: Latent = "inferred",
) -> Agent:
    """The agent, for tasks that show KEYS; it explores by random actions, and plans when it is greedy.

    Args:
      actions: of the task.
      optimiser: of θ, an `agents.common.optimisers` chain.
      latent_optimiser: of the posteriors.
      dims: D, numbers of the state.
      loads: K, that are trained with.
      plan: model -> planner.
      hidden: sizes of a member's layers.
      members: E.
      width: standard deviation of p, in units of that of the changes.
      beta: β.
      window: transitions of which z is inferred.
      latent: which z is planned with: the inferred one, the prior's mean, or the one of the training load that is
        furthest from it; or "pooled" for a model that is never told any.
    """
    (size,) = actions.shape
    net = Net(hidden, dims)
    planner = plan(imagination(net))

    def init(key: Key, timestep: TimeStep) -> State:
        del timestep
        example = jnp.zeros((1, dims + size))
        nets = jax.vmap(lambda k: net.init(k, example))(jax.random.split(key, members))
        # From wide posteriors, whose draws cross each other, the loads come out of order.
        latents = Latents(jnp.zeros(loads), jnp.full(loads, -2.0, jnp.float32))
        moments = fresh_moments(jnp.zeros(dims - 1 + size)), fresh_moments(jnp.zeros(dims))
        return State(Fitted(nets, latents, *moments), optimiser.init(nets), latent_optimiser.init(latents))

    def begun(lanes: int) -> Memory:
        rows = jnp.zeros((lanes, window, dims - 1 + size))
        changes, known = jnp.zeros((lanes, window, dims)), jnp.zeros((lanes, window), bool)
        action = jnp.zeros((lanes, size))
        return Memory(jnp.zeros((lanes, dims)), action, rows, changes, known, planner.begin(lanes))

    def noticed(memory: Memory, state: Array) -> Memory:
        """With the transition that led to a state."""
        row = jnp.concatenate([memory.before[:, 1:], memory.action], axis=-1)
        put = lambda held, new: jnp.concatenate([held[:, 1:], new[:, None]], axis=1)  # noqa: E731
        return memory._replace(
            rows=put(memory.rows, row),
            changes=put(memory.changes, state - memory.before),
            known=put(memory.known, jnp.ones(len(state), bool)),
        )

    def chosen(fitted: Fitted, memory: Memory) -> Array:
        z = inferred(net, fitted, memory, width)
        means = fitted.latents.mean
        if latent == "wrong":
            return means[jnp.argmax(jnp.abs(means[None] - z[:, None]), axis=-1)]
        return z if latent == "inferred" else jnp.zeros_like(z)

    def act(fitted: Fitted, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        state, goals = timestep.observation["state"], timestep.observation["goals"]
        lanes = len(state)
        if explore:
            return planning.uniform(actions, key, (lanes,)), carry, ()
        memory = select(timestep.first(), begun(lanes), noticed(carry, state))
        z = chosen(fitted, memory)
        action, plans = planner.plan(fitted, key, memory.plan, {"state": state, "goals": goals, "z": z})
        return action, memory._replace(before=state, action=action, plan=plans), ()

    def error(fitted: Fitted, key: Key, batch: tuple) -> Array:
        rows, changes, load, mask = batch
        mean, log_deviation = fitted.latents
        noise = jax.random.normal(key, load.shape)
        z = mean[load] + jnp.exp(log_deviation[load]) * noise if latent != "pooled" else jnp.zeros(load.shape)
        return parallel.masked_mean(nll(net, fitted, rows, changes, z, width), mask)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        seen, mask = steps.timestep.observation, valid(steps)
        rows = jnp.concatenate([seen["state"][:-1, :, 1:], steps.action[:-1]], axis=-1)
        changes = seen["state"][1:] - seen["state"][:-1]
        fitted = state.fitted
        fitted = fitted._replace(inputs=merge(fitted.inputs, rows, mask), changes=merge(fitted.changes, changes, mask))
        load = seen["load"][:-1, :, 0].astype(jnp.int32)
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), (rows, changes, load, mask))
        half = flat[3].shape[0] // 2
        first, second = (jax.tree.map(lambda x, s=s: x[s], flat) for s in (slice(half), slice(half, None)))
        k_first, k_second = (parallel.own_key(each) for each in jax.random.split(key))

        def of_nets(nets: Any) -> Array:
            return error(fitted._replace(nets=nets), k_first, first)

        loss, slope = jax.value_and_grad(of_nets)(fitted.nets)
        nets, opt, told = optimisers.step(optimiser, slope, state.optimiser, fitted.nets)
        fitted = fitted._replace(nets=nets)

        def of_latents(latents: Latents) -> Array:
            return error(fitted._replace(latents=latents), k_second, second) + beta * jnp.mean(kl(latents))

        slope = jax.grad(of_latents)(fitted.latents)
        latents, latent_opt, more = optimisers.step(
            latent_optimiser, slope, state.latent_optimiser, fitted.latents, "latent_"
        )
        spread = jnp.max(latents.mean) - jnp.min(latents.mean)
        metrics = {"loss": loss, "latent_spread": spread, "kl": jnp.mean(kl(latents)), **told, **more}
        return State(fitted._replace(latents=latents), opt, latent_opt), Info(metrics)

    return Agent(init, lambda state: state.fitted, begun, act, update)
