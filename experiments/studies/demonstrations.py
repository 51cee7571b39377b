"""What a few demonstrations are worth where chance finds no reward: DQfD on DeepSea, DDPGfD on a reach.

DeepSea of 20 x 20 pays for one of 2^20 sequences of actions, and the demonstration is that sequence, once. The reach is
a point in a square that is paid 1 within 0.1 of a goal in the far corner, and nothing else; the demonstrations are five
episodes of going straight there. After each round of training, the rows of one episode, there is a greedy episode; a
task is solved with the first of ten in a row that succeed.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
import replay
from agents.base import Agent, Step, TimeStep, Tree
from agents.common import action_noise, optimisers
from agents.common.critics import with_action
from agents.common.demonstrations import Demonstrations, pretrained
from agents.ddpg import Params, ddpg
from agents.dqfd import guided
from agents.dqn import dqn
from envs import keys
from envs.base import LAST, Array, Box, Environment, Spec, episodic
from envs.tasks.deep_sea import deep_sea, right_actions
from replay.base import Replay

if TYPE_CHECKING:
    from jax.typing import ArrayLike

    from envs.base import Key

BATCH, ROW = 64, 10
HORIZON = 40


def adam(learning_rate: float, decay: float) -> optax.GradientTransformation:
    """Adam with an L2 penalty."""
    return optimisers.chain(optax.chain(optax.add_decayed_weights(decay), optax.adam(learning_rate)))


def shown(env: Environment, policy: "Callable[[Tree, int], ArrayLike]", seed: int = 0) -> Step:
    """The rows `[T + 1]` of an episode.

    Args:
      env: the task.
      policy: `(observation, t) -> action`.
      seed: of the episode.
    """
    state, timestep = jax.jit(env.reset)(keys.key(seed))
    step = jax.jit(env.step)
    rows: list[Step] = []
    while True:
        action = jnp.asarray(policy(timestep.observation, len(rows)))
        rows.append(Step(timestep, action))
        if int(timestep.step_type) == LAST:
            return jax.tree.map(lambda *x: jnp.stack(x), *rows)
        state, timestep = step(state, action)


def optimal(env: Environment, size: int) -> Step:
    """DeepSea's optimal episode."""
    actions = [*right_actions(size), 0]
    return shown(env, lambda seen, t: np.int32(actions[t]))


def solved(
    env: Environment, agent: Agent, memory: Replay, rows: int, seeds: Sequence[int], most: int, times: int = 1
) -> np.ndarray:
    """Rounds until the first of ten greedy episodes in a row with a return above 0.9; infinite if there is none.

    Args:
      env: whose episodes have at most `rows` - 1 steps.
      agent: that learns.
      memory: from what it learns.
      rows: of a round.
      seeds: of the runs.
      most: rounds.
      times: updates for every row.

    Returns:
      `[seeds]`.
    """

    def act(learner: Tree, carry: Tree, world: Tree, timestep: TimeStep, key: "Key", explore: bool) -> tuple:
        action, carry, extras = agent.act(agent.actor(learner), key, carry, timestep, explore)
        world, after = jax.vmap(env.step)(world, action)
        return world, after, carry, Step(timestep, action, extras)

    def fresh(key: "Key") -> tuple:
        return jax.vmap(env.reset)(keys.split(key, 1))

    def train(state: tuple, key: "Key") -> tuple[tuple, None]:
        learner, storage, world, timestep, carry = state
        k_act, k_learn = keys.split(key)
        world, after, carry, row = act(learner, carry, world, timestep, k_act, True)
        storage = memory.add(storage, jax.tree.map(lambda x: x[None], row))
        (learner, storage), _ = jax.lax.scan(update, (learner, storage), keys.split(k_learn, times))
        return (learner, storage, world, after, carry), None

    def update(both: tuple, key: "Key") -> tuple[tuple, None]:
        k_sample, k_update = keys.split(key)
        learner, storage = both
        sample = memory.sample(storage, k_sample)
        learner, info = agent.update(learner, k_update, sample)
        return (learner, memory.feedback(storage, sample.index, info)), None

    def tested(learner: Tree, key: "Key") -> Array:
        k_reset, k_act = keys.split(key)

        def step(state: tuple, key: "Key") -> tuple[tuple, Array]:
            world, timestep, carry, over = state
            world, after, carry, _ = act(learner, carry, world, timestep, key, False)
            return (world, after, carry, over | after.last()[0]), jnp.where(over, 0.0, after.reward[0])

        start = (*fresh(k_reset), agent.begin(1), jnp.bool_(False))
        return jnp.sum(jax.lax.scan(step, start, keys.split(k_act, rows - 1))[1])

    def round_(state: tuple, key: "Key") -> tuple[tuple, Array]:
        k_train, k_test = keys.split(key)
        state, _ = jax.lax.scan(train, state, keys.split(k_train, rows))
        return state, tested(state[0], k_test)

    def run(key: "Key") -> Array:
        k_agent, k_reset, k_act, k_run = keys.split(key, 4)
        world, timestep = fresh(k_reset)
        learner, carry = agent.init(k_agent, timestep), agent.begin(1)
        *_, row = act(learner, carry, world, timestep, k_act, True)
        state = (learner, memory.init(row), world, timestep, carry)
        return jax.lax.scan(round_, state, keys.split(k_run, most))[1]

    good = np.asarray(jax.jit(jax.vmap(run))(keys.key(np.array(seeds)))) > 0.9
    rows_of = [np.convolve(each, np.ones(ROW, int), "valid") == ROW for each in good]
    return np.array([1 + int(np.argmax(each)) if each.any() else np.inf for each in rows_of])


def deep_sea_episodes(
    seeds: Sequence[int],
    size: int = 20,
    margin: float = 1.0,
    permanent: bool = True,
    demonstrated: bool = True,
    updates: int = 1_000,
    capacity: int = 1_000,
    most: int = 300,
) -> np.ndarray:
    """Episodes until DQfD has solved DeepSea, with ε = 0.01, 10 steps and a target that is copied every 100 updates.

    Args:
      seeds: of the network and the replay's draws; the task is the same for all.
      size: of the sea.
      margin: weight of the margin loss.
      permanent: whether the demonstration is kept, or is overwritten in the ring like other rows.
      demonstrated: whether there is one; else it is prioritised n-step DQN.
      updates: on the demonstration, before the first episode.
      capacity: of the ring, in rows.
      most: episodes that are played.

    Returns:
      `[seeds]`, infinite where it was not solved.
    """
    env, n = deep_sea(size), 10
    network = networks.q_network(networks.Torso(env.spec.observation, (64, 64), cnn=None), networks.QValues(2))
    optimiser = adam(1e-3, 1e-5)
    settings: dict[str, Any] = {"epsilon": 0.01, "target_period": 100, "discount": 0.99}
    if demonstrated:
        memory = replay.with_demonstrations(optimal(env, size), capacity, BATCH, n, permanent=permanent)
        loss = guided(Demonstrations(n, margin_weight=margin), settings["discount"])
        agent = pretrained(dqn(network, optimiser, loss_of=loss, **settings), memory, updates)
    else:
        plain = replay.prioritised(capacity, BATCH, n, alpha=0.4, beta=0.6, epsilon=1e-3, single=True)
        agent, memory = dqn(network, optimiser, **settings), replay.mapped(plain, replay.n_step(n, 0.99))
    return solved(env, agent, memory, size + 1, seeds, most)


def reach() -> Environment:
    """A point in a square, which starts in one corner and is paid in the other."""
    goal = jnp.array([0.8, 0.8])

    def transition(key: "Key", place: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        place = jnp.clip(place + 0.1 * jnp.clip(action, -1.0, 1.0), -1.0, 1.0)
        there = jnp.linalg.norm(place - goal) < 0.1
        return place, there.astype(jnp.float32), there

    def initial(key: "Key") -> Array:
        return -0.8 + 0.2 * jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)

    spec = Spec("reach", Box((2,), -1.0, 1.0), Box((2,), -1.0, 1.0), HORIZON)
    return episodic(initial, transition, lambda place: place, spec)


def straight(env: Environment, episodes: int) -> Step:
    """Episodes of going straight to the goal of the reach, one after the other."""

    def policy(seen: Array, t: int) -> Array:
        del t
        return jnp.clip((0.8 - seen) / 0.1, -1.0, 1.0)

    return jax.tree.map(lambda *x: jnp.concatenate(x), *[shown(env, policy, seed) for seed in range(episodes)])


def reach_rounds(
    seeds: Sequence[int],
    demonstrated: int = 5,
    permanent: bool = True,
    updates: int = 2_000,
    capacity: int = 2_000,
    most: int = 100,
    times: int = 4,
) -> np.ndarray:
    """Rounds of 41 rows until DDPGfD has solved the reach, with noise of 0.2 and 5 steps.

    Args:
      seeds: of networks, episodes and draws.
      demonstrated: episodes that are shown; 0 is prioritised n-step DDPG.
      permanent: whether they are kept, or overwritten in the ring like other rows.
      updates: on them, before the first round.
      capacity: of the ring, in rows.
      most: rounds that are played.
      times: updates for every row.

    Returns:
      `[seeds]`, infinite where it was not solved.
    """
    env, n = reach(), 5
    space, actions = env.spec.observation, env.spec.action
    policy = networks.q_network(networks.Torso(space, (64, 64), cnn=None), networks.DeterministicPolicy(2))
    torso = networks.Torso(with_action(space, actions), (64, 64), cnn=None)
    critic = networks.ensemble(networks.q_network(torso, networks.Value()), 1)
    chains = Params(adam(1e-3, 1e-4), adam(1e-3, 1e-4))
    settings: dict[str, Any] = {"discount": 0.95, "noise": action_noise.gaussian(0.2), "target_rate": 0.02}
    settings["target_range"] = (0.0, 1.0)
    if demonstrated:
        shared: dict[str, Any] = {"alpha": 0.3, "beta": 1.0, "own_bonus": 1e-6, "permanent": permanent}
        memory = replay.with_demonstrations(straight(env, demonstrated), capacity, BATCH, n, **shared)
        agent = pretrained(ddpg(policy, critic, chains, demonstrations=Demonstrations(n), **settings), memory, updates)
    else:
        plain = replay.prioritised(capacity, BATCH, n, alpha=0.3, beta=1.0, single=True)
        agent, memory = ddpg(policy, critic, chains, **settings), replay.mapped(plain, replay.n_step(n, 0.95))
    return solved(env, agent, memory, HORIZON + 1, seeds, most, times)
