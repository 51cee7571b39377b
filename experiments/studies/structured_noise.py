"""What MAESN explores and how it adapts where rewards are sparse: points whose goals lie on a half circle.

It learns from the distance as reward. Then come new goals, and rewards within 0.2 of them alone: z is drawn from
N(0, 1) for 20 episodes, and Gaussians of z that begin there take three steps, each on 50 episodes as in the authors'
tests. MAML, which learned from goals like these, takes three steps of its parameters on as many.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
import replay
from agents.base import Step, Tree
from agents.common import optimisers
from agents.common.linear_baseline import rollouts
from agents.maesn import Latents, Seen, joined, maesn, stepped
from agents.maml import Inner, Outer, adapting, maml, policy_of
from envs import keys
from envs.base import Array, Box, Environment, Key
from envs.tasks.point_goals import RADIUS, point_goals
from experiments.studies import learned
from networks.initializers import orthogonal

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from envs.base import TimeStep

    Policy: TypeAlias = Callable[[Key, TimeStep, Array], tuple[Array, dict[str, Array]]]

LATENT, EPISODES, TESTED, HORIZON, LANES, BINS = 2, 20, 50, 20, 40, 10
LENGTH, LONG = EPISODES * (HORIZON + 1), TESTED * (HORIZON + 1)
"""Rows of a window of MAML's training, and of MAESN's and of the tests."""
EPOCHS = 2
"""Gradient steps on the rollouts of a trial of MAESN's."""


def network_of(latent: int = LATENT) -> networks.Network:
    """Observation and latent -> distribution: two layers of 64 units."""
    torso = networks.Torso(Box((2 + latent,)), (64, 64), cnn=None)
    return networks.q_network(torso, networks.GaussianPolicy(2, kernel_init=orthogonal(1.0)))


def placed(window: Step) -> Array:
    """Where the points were, `[N, episodes, HORIZON + 1, 2]`, of a window of whole episodes and the row after them."""
    place = jnp.moveaxis(window.timestep.observation[:-1], 0, 1)
    return place.reshape(place.shape[0], -1, HORIZON + 1, 2)


def played(
    env: Environment, act: "Policy", key: Key, state: Tree = None, hold: bool = True, lanes: int = LANES
) -> tuple[Tree, Step]:
    """A window `[LONG + 1, lanes]` of `act(key, timestep, noise) -> (action, extras)`, and where it ended.

    Args:
      env: the task.
      act: the policy of all lanes; `noise` `[lanes, LATENT]` is drawn for each episode.
      key: of everything.
      state: where to go on, or None to begin.
      hold: draw the noise once for an episode; if not, for every step.
      lanes: side by side.
    """
    k_env, k_act = jax.random.split(key)
    world, timestep = jax.vmap(env.reset)(jax.random.split(k_env, lanes)) if state is None else state

    def body(live: tuple, key: Key) -> tuple[tuple, Step]:
        world, timestep, noise = live
        k_noise, k_action = jax.random.split(key)
        noise = jnp.where(timestep.first()[:, None] | (not hold), jax.random.normal(k_noise, noise.shape), noise)
        action, extras = act(k_action, timestep, noise)
        after = jax.vmap(env.step)(world, jnp.clip(action, -1.0, 1.0))
        return (*after, noise), Step(timestep, action, {**extras, "noise": noise})

    begun = (world, timestep, jnp.zeros((lanes, LATENT)))
    (world, timestep, noise), rows = jax.lax.scan(body, begun, jax.random.split(k_act, LONG))
    _, peek = body((world, timestep, noise), k_act)
    return (world, timestep), jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), rows, peek)


def latent_policy(policy: Tree, latents: Latents) -> "Policy":
    """Acts by `policy` with z of each lane's Gaussian, `[lanes, LATENT]`."""

    def act(key: Key, timestep: "TimeStep", noise: Array) -> tuple[Array, dict[str, Array]]:
        z = latents.mean + jnp.exp(latents.log_std) * noise
        chosen = policy_of(network_of(), policy, joined(timestep.observation, z))
        action, log_prob = chosen.sample_and_log_prob(key)
        return action, {"log_prob": log_prob, "latent": z}

    return act


def own_policy(params: Tree) -> "Policy":
    """Acts by parameters of each lane's own, `[lanes, ...]`."""

    def act(key: Key, timestep: "TimeStep", noise: Array) -> tuple[Array, dict[str, Array]]:
        del noise

        def one(params: Tree, key: Key, observation: Array) -> tuple[Array, Array]:
            chosen = policy_of(network_of(0), params, observation[None])
            return jax.tree.map(lambda x: x[0], chosen.sample_and_log_prob(key))

        action, log_prob = jax.vmap(one)(params, jax.random.split(key, LANES), timestep.observation)
        return action, {"log_prob": log_prob}

    return act


def hits(window: Step, goals: Array) -> Array:
    """The share of episodes that end within 0.2 of their goal, a scalar."""
    return jnp.mean(jnp.linalg.norm(placed(window)[:, :, -1] - goals[:, None], axis=-1) < RADIUS)


def reached(window: Step) -> Array:
    """The share of ten parts of the half circle whose middles 20 episodes of a lane come within 0.2 of, `[N]`."""
    angles = (jnp.arange(BINS) + 0.5) * jnp.pi / BINS
    middles = jnp.stack([jnp.cos(angles), jnp.sin(angles)], axis=-1)
    place = placed(window)[:, :EPISODES].reshape(-1, LENGTH, 1, 2)
    distance = jnp.linalg.norm(place - middles[None, None], axis=-1)
    return jnp.mean(jnp.min(distance, axis=1) < RADIUS, axis=-1)


def adapted(params: Tree, key: Key, hold: bool) -> tuple[Array, Array]:
    """Coverage by z of N(0, 1), and the share of hits on sparse goals after three steps of the latents."""
    env = point_goals("half-circle", sparse=True, horizon=HORIZON, episodes=0)
    latents = Latents(jnp.zeros((LANES, LATENT)), jnp.zeros((LANES, LATENT)))
    state: Any = None
    windows = []
    for k in range(4):
        act = latent_policy(params.policy, latents)
        state, window = played(env, act, jax.random.fold_in(key, k), state, hold)
        drawn = (jnp.moveaxis(window.extras[name][:-1], 0, 1) for name in ("latent", "noise"))
        seen = Seen(rollouts(window, 0.99, 1.0), *drawn)
        # From the third step on, half of the one before, as in the authors' tests.
        rate = jax.tree.map(lambda a, k=k: a * 0.5 ** max(k - 1, 0), params.rate)
        latents = jax.vmap(lambda x, rows, a=rate: stepped(x, a, rows, hold))(latents, seen)
        windows.append(window)
    return jnp.mean(reached(windows[0])), hits(windows[-1], state[0].task)


@cache
def of_latents(seed: int, iterations: int) -> dict[str, tuple[float, float]]:
    """What `outcome` says of the same policy, with z drawn for each episode, for each step, and held at 0."""
    storage = replay.on_policy(LONG)

    def whole(key: Key) -> dict[str, tuple[Array, Array]]:
        k_learn, k_test = jax.random.split(key)
        env = point_goals("half-circle", horizon=HORIZON, episodes=0)
        falling = optax.linear_schedule(3e-3, 0.0, iterations * EPOCHS)
        chain = optimisers.adam(falling, 1.0)
        agent = maesn(network_of(), chain, LONG, LATENT, spread_rate=0.3, epochs=EPOCHS)
        state, _ = learned(env, agent, storage, k_learn, LANES, LONG, 2 * iterations, lambda rows: ())
        params = state.params
        never = Latents(jnp.zeros((LANES, LATENT)), jnp.full((LANES, LATENT), -30.0))
        sparse = point_goals("half-circle", sparse=True, horizon=HORIZON, episodes=0)
        (world, _), window = played(sparse, latent_policy(params.policy, never), k_test)
        return {
            "maesn": adapted(params, k_test, True),
            "per-step": adapted(params, k_test, False),
            "none": (jnp.mean(reached(window)), hits(window, world.task)),
        }

    found = jax.jit(whole)(keys.key(seed))
    return {kind: (float(coverage), float(share)) for kind, (coverage, share) in found.items()}


@cache
def outcome(seed: int, kind: str = "maesn", iterations: int = 200) -> tuple[float, float]:
    """The coverage by 20 episodes, and the share of hits after three steps on sparse rewards.

    Args:
      seed: of the run.
      kind: "maesn"; "per-step", the same policy with z drawn for every step; "none", with a z of 0 that takes no step;
        or "maml".
      iterations: trials of training, from the distance as reward.
    """
    if kind != "maml":
        return of_latents(seed, iterations)[kind]
    storage = replay.on_policy(LENGTH)

    def whole(key: Key) -> tuple[Array, Array]:
        k_learn, k_test = jax.random.split(key)
        inner = Inner()
        env = point_goals("half-circle", horizon=HORIZON, episodes=2 * EPISODES)
        agent = maml(network_of(0), optimisers.adam(3e-3, 1.0), LENGTH, inner, Outer())
        state, _ = learned(env, agent, storage, k_learn, LANES, LENGTH, 2 * iterations, lambda rows: ())
        sparse = point_goals("half-circle", sparse=True, horizon=HORIZON, episodes=0)
        own = jax.tree.map(lambda x: jnp.broadcast_to(x, (LANES, *x.shape)), state.params)
        world: Any = None
        windows = []
        for k in range(4):
            world, window = played(sparse, own_policy(own), jax.random.fold_in(k_test, k), world)
            rate = inner.rate if k == 0 else inner.rate / 2  # as in the code of MAML's paper
            adapt = lambda p, rows, rate=rate: adapting(network_of(0), inner)(p, rows, rate)  # noqa: E731
            own = jax.vmap(adapt)(own, rollouts(window, 0.99, 1.0))
            windows.append(window)
        return jnp.mean(reached(windows[0])), hits(windows[-1], world[0].task)

    coverage, share = jax.jit(whole)(keys.key(seed))
    return float(coverage), float(share)


def coverage(seeds: Sequence[int], kind: str = "maesn", iterations: int = 200) -> np.ndarray:
    """The share of ten parts of the half circle that 20 episodes reach before any step, `[seeds]`."""
    return np.array([outcome(seed, kind, iterations)[0] for seed in seeds])


def success(seeds: Sequence[int], kind: str = "maesn", iterations: int = 200) -> np.ndarray:
    """The share of episodes that end at a new, sparse goal after three steps, `[seeds]`."""
    return np.array([outcome(seed, kind, iterations)[1] for seed in seeds])
