"""What inverse reinforcement learning recovers on tables: rewards, policies, and rewards that outlive the moves.

A policy is judged by its discounted value from anywhere, less that of acting uniformly at random, over the same of the
optimal policy: 1 is optimal, 0 random.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.apprenticeship import Mixture, expectations, mixed, project
from agents.common import optimisers
from agents.maxent_irl import Deep, Settings, Table, recovered
from agents.world import tables
from envs import keys
from envs.base import Array, Key
from envs.tasks import grid

GAMMA = 0.9
ACTIONS = 4
SWEEPS = 200


def random_task(key: Key, states: int = 16) -> tuple[tables.Model, Array]:
    """A task that draws every row of its transitions from Dirichlet(1, ..., 1), and a normal reward `[S, 1]`."""
    k_moves, k_reward = jax.random.split(key)
    moves = jax.random.dirichlet(k_moves, jnp.ones(states), (states, ACTIONS))
    return tables.Model(moves, jnp.full(states, 1.0 / states)), jax.random.normal(k_reward, (states, 1))


def board(side: int = 5, slip: float = 0.0, exchange: int | None = None) -> tuple[tables.Model, Array]:
    """The grid as a table, and the reward `[S, 1]` of being at its far corner."""
    cells = side * side
    model = tables.Model(jnp.asarray(grid.transitions(side, slip, exchange), jnp.float32), jnp.full(cells, 1.0 / cells))
    return model, jnp.zeros((cells, 1)).at[-1].set(1.0)


def spread(reward: Array) -> Array:
    """`[S, 1]` or `[S, A]` -> `[S, A]`."""
    return jnp.broadcast_to(reward, (reward.shape[0], ACTIONS))


def worth(model: tables.Model, reward: Array, policy: Array) -> Array:
    """The value of a policy `[S, A]`: 1 is optimal, 0 uniformly random."""
    value = lambda p: jnp.sum(tables.occupancy(model, p, GAMMA) * spread(reward))  # noqa: E731
    best = value(tables.plan(model, spread(reward), discount=GAMMA, sweeps=SWEEPS).policy)
    chance = value(jnp.full(policy.shape, 1.0 / ACTIONS))
    return (value(policy) - chance) / (best - chance)


def over(seeds: Sequence[int], one: Callable[[Key], Array]) -> np.ndarray:
    """`one(key)` of each seed, `[seeds]`."""
    return np.asarray(jax.jit(jax.vmap(one))(keys.key(np.asarray(seeds))))


def exact(
    seeds: Sequence[int], measure: Literal["correlation", "policy"] = "correlation", learn: bool = True
) -> np.ndarray:
    """A state's reward recovered from the exact occupancy of the soft-optimal expert, on random tasks of 16 states.

    Args:
      seeds: of the tasks.
      measure: the correlation of the recovered reward with the true one, or the largest difference of the
        probabilities of their soft-optimal policies.
      learn: if not, the reward is drawn at random.

    Returns:
      `[seeds]`.
    """
    settings = Settings(GAMMA, None, SWEEPS)

    def one(key: Key) -> Array:
        k_task, k_learn = jax.random.split(key)
        model, true = random_task(k_task)
        expert = tables.soft_plan(model, spread(true), **settings._asdict())
        reward = Table(16, ACTIONS)
        found = jax.random.normal(k_learn, (16, 1))
        if learn:
            optimiser = optimisers.adam(0.05)
            found, _ = recovered(reward, optimiser, model, expert.occupancy, settings, 2_000, k_learn)
        if measure == "correlation":
            return jnp.corrcoef(found[:, 0], true[:, 0])[0, 1]
        learner = tables.soft_plan(model, reward.apply(found), **settings._asdict())
        return jnp.max(jnp.abs(learner.policy - expert.policy))

    return over(seeds, one)


def demonstrations(
    seeds: Sequence[int],
    count: int = 200,
    steps: int = 40,
    side: int = 5,
    slip: float = 0.3,
    causal: bool = True,
    deep: bool = False,
    learn: bool = True,
) -> np.ndarray:
    """What the optimal policy of a reward that was recovered from demonstrations is worth, on a slippery grid.

    Args:
      seeds: of the demonstrations, which are optimal and begin anywhere.
      count: of them.
      steps: of each.
      side: of the grid.
      slip: of the grid.
      causal: maximum causal entropy; if not, the model of 2008.
      deep: the reward is a network of row and column.
      learn: if not, the mean over 32 rewards that are drawn at random.

    Returns:
      `[seeds]`.
    """
    model, true = board(side, slip)
    expert = tables.plan(model, spread(true), discount=GAMMA, sweeps=SWEEPS).policy
    rules = grid.grid(side, slip).spec.rules
    cells, settings = side * side, Settings(GAMMA, steps, SWEEPS, causal)
    places = jnp.stack(jnp.divmod(jnp.arange(cells), side), axis=1) / (side - 1)
    reward: Any = Deep(places, ACTIONS, (32, 32)) if deep else Table(cells, ACTIONS)

    def one(key: Key) -> Array:
        k_show, k_learn = jax.random.split(key)
        assert rules is not None
        shown = tables.shown(
            tables.demonstrated(rules, model.initial, expert, k_show, count, steps), cells, ACTIONS, GAMMA
        )
        value = lambda pays: worth(  # noqa: E731
            model, true, tables.plan(model, pays, discount=GAMMA, sweeps=SWEEPS).policy
        )
        if not learn:
            return jnp.mean(jax.vmap(lambda pays: value(spread(pays)))(jax.random.normal(k_learn, (32, cells, 1))))
        known = model._replace(initial=shown.initial)
        optimiser = optimisers.adam(0.01 if deep else 0.05)
        params, _ = recovered(reward, optimiser, known, shown.occupancy, settings, 500, k_learn)
        return value(reward.apply(params))

    return over(seeds, one)


def projection(
    seeds: Sequence[int],
    measure: Literal["distance", "rises", "worth"] = "distance",
    iterations: int = 30,
    project_weights: bool = True,
    everywhere: bool = False,
) -> np.ndarray:
    """Apprenticeship learning on the 5 x 5 grid with its cells as features, of an optimal expert.

    Args:
      seeds: of the reward.
      measure: the distance ‖μ_E - μ̄‖ of discounted sums of features in the end; how often it rose by more than 1e-4;
        or what the mixture is worth.
      iterations: policies.
      project_weights: if not, each policy is optimal for random weights.
      everywhere: every cell pays the expert a random amount, rather than one cell alone.

    Returns:
      `[seeds]`.
    """
    model, _ = board()
    features = jnp.eye(model.initial.shape[0])

    def one(key: Key) -> Array:
        k_reward, k_weights = jax.random.split(key)
        cells = features.shape[0]
        amounts = jax.random.normal(k_reward, (cells, 1))
        true = amounts if everywhere else jax.nn.one_hot(jax.random.randint(k_reward, (1,), 0, cells), cells).T
        expert = tables.plan(model, spread(true), discount=GAMMA, sweeps=SWEEPS).occupancy
        aim = expectations(expert, features, GAMMA)
        even = tables.occupancy(model, jnp.full(expert.shape, 1.0 / ACTIONS), GAMMA)

        def step(mixture: Mixture, key: Key) -> tuple[Mixture, Array]:
            if project_weights:
                return project(mixture, model, features, aim, GAMMA, SWEEPS)
            weights = jax.random.normal(key, aim.shape)
            return mixed(mixture, weights, model, features, aim, GAMMA, SWEEPS)

        start = Mixture(even, jnp.zeros_like(aim))
        mixture, distances = jax.lax.scan(step, start, jax.random.split(k_weights, iterations))
        if measure == "distance":
            return distances[-1]
        if measure == "rises":
            return jnp.sum(jnp.diff(distances) > 1e-4).astype(jnp.float32)
        value = lambda x: jnp.sum(x * spread(true))  # noqa: E731
        return (value(mixture.occupancy) - value(even)) / (value(expert) - value(even))

    return over(seeds, one)


def shaped(params: dict[str, Array], model: tables.Model) -> Array:
    """f(s, a) = E[g + γ h(s') - h(s)], `[S, A]`."""
    after = model.transition @ params["potential"]
    return losses.shaped_reward(spread(params["reward"]), params["potential"][:, None], after, jnp.float32(GAMMA))


def adversary(model: tables.Model, expert: tables.Plan, of_actions: bool = False, rounds: int = 2_000) -> Array:
    """The reward g that AIRL learns, `[S, 1]` or `[S, A]`, with the exact soft-optimal policy in each round.

    Discriminator and policy take turns: the policy is soft-optimal for the present f, and the discriminator takes one
    step on the expert's and the policy's occupancy.
    """
    states = model.initial.shape[0]
    optimiser = optimisers.adam(0.05)
    start = {"reward": jnp.zeros((states, ACTIONS if of_actions else 1)), "potential": jnp.zeros(states)}

    def step(state: tuple, _: None) -> tuple[tuple, None]:
        held, opt_state = state
        policy = tables.soft_plan(model, shaped(held, model), discount=GAMMA, sweeps=100)

        def loss(params: dict[str, Array]) -> Array:
            logits = losses.airl_logits(shaped(params, model), jnp.log(policy.policy))
            real = expert.occupancy * losses.discriminator_loss(logits, jnp.bool_(True))
            return jnp.sum(real + policy.occupancy * losses.discriminator_loss(logits, jnp.bool_(False)))

        return optimisers.step(optimiser, jax.grad(loss)(held), opt_state, held)[:2], None

    return jax.lax.scan(step, (start, optimiser.init(start)), None, rounds)[0][0]["reward"]


def exchanged(model: tables.Model, key: Key) -> tables.Model:
    """The task, with the actions of every state exchanged at random."""
    keyed = jax.random.split(key, model.initial.shape[0])
    chosen = jax.vmap(lambda k: jax.random.permutation(k, ACTIONS))(keyed)
    return model._replace(transition=jnp.take_along_axis(model.transition, chosen[:, :, None], axis=1))


def transfer(
    seeds: Sequence[int],
    kind: Literal["state", "action", "advantage"] = "state",
    measure: Literal["transfer", "source"] = "transfer",
) -> np.ndarray:
    """What the reward that AIRL learns is worth where the actions of every cell were exchanged.

    The expert is soft-optimal on the grid, for a reward of 5 at the corner.

    Args:
      seeds: of the exchange.
      kind: g is of states, of states and actions, or the expert's soft advantage, ln π_E, which explains the expert as
        well and is shaped for its moves.
      measure: what the optimal policy of g is worth where actions were exchanged, or where g was learned.

    Returns:
      `[seeds]`.
    """
    model, corner = board()
    expert = tables.soft_plan(model, spread(5.0 * corner), discount=GAMMA, sweeps=SWEEPS)
    reward = jnp.log(expert.policy) if kind == "advantage" else adversary(model, expert, kind == "action")

    def one(key: Key) -> Array:
        there = exchanged(model, key) if measure == "transfer" else model
        return worth(there, corner, tables.plan(there, spread(reward), discount=GAMMA, sweeps=SWEEPS).policy)

    return over(seeds, one)
