"""Maximum-entropy inverse reinforcement learning on tables: the reward under which the demonstrations are most likely.

Ziebart et al., "Maximum entropy inverse reinforcement learning", AAAI 2008; Ziebart, "Modeling purposeful adaptive
behavior with the principle of maximum causal entropy", 2010; with a network for the reward, Wulfmeier et al., "Maximum
entropy deep inverse reinforcement learning", 2015 (arXiv:1507.04888). With ρ_r the occupancy of the soft-optimal policy
of r and ρ_E the expert's,

    ∇ log-likelihood = Σ_{s,a} (ρ_E(s, a) - ρ_r(s, a)) ∇ r(s, a)

The backup of the causal model takes the expectation over what chance does; that of 2008, ln E[exp V], treats chance as
if it were chosen too, which is right where there is none.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

import networks
from agents import losses
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from agents.world import tables


class Reward(Protocol):
    """A reward that can be learned, as two pure functions."""

    @property
    def init(self) -> Any:
        """`(key) -> params`."""

    @property
    def apply(self) -> Any:
        """`(params) -> r[S, A]`."""


class Table(NamedTuple):
    """A number for each state, or for each state and action, that begins at 0."""

    states: int
    actions: int
    of_actions: bool = False

    def init(self, key: Key) -> Array:
        """`[S, A]`, or `[S, 1]` for states alone."""
        del key
        return jnp.zeros((self.states, self.actions if self.of_actions else 1))

    def apply(self, params: Array) -> Array:
        """`[S, A]`."""
        return jnp.broadcast_to(params, (self.states, self.actions))


class Deep(NamedTuple):
    """A network of what is known of each state."""

    features: Array  # [S, F]
    actions: int
    hidden: tuple[int, ...] = (32,)

    def _network(self) -> Any:
        return networks.MLP((*self.hidden, 1), activate_final=False)

    def init(self, key: Key) -> Any:
        """Parameters."""
        return self._network().init(key, self.features)

    def apply(self, params: Any) -> Array:
        """`[S, A]`."""
        reward = jnp.asarray(self._network().apply(params, self.features))
        return jnp.broadcast_to(reward, (self.features.shape[0], self.actions))


class Learned(NamedTuple):
    """The reward's parameters, and the optimiser's state."""

    params: Any
    optimiser: Any


class Settings(NamedTuple):
    """How a policy is made of a reward."""

    discount: float | Array = 0.9
    horizon: int | None = None  # steps of an episode; None for a task that goes on
    sweeps: int = 100  # of value iteration, where there is no horizon
    causal: bool = True


def ascend(
    reward: Any,
    optimiser: optax.GradientTransformation,
    state: Learned,
    model: tables.Model,
    expert: Array,
    settings: Settings,
) -> tuple[Learned, dict[str, Array]]:
    """One step up the exact gradient of the demonstrations' likelihood.

    Args:
      reward: a `Reward`.
      optimiser: of its parameters.
      state: before.
      model: of the task.
      expert: occupancy `[S, A]`, normalised to add up to 1.
      settings: of the policies.

    Returns:
      The state after, and scalars: `occupancy_error` is half the absolute difference of the occupancies of states.
    """
    soft = tables.soft_plan(model, reward.apply(state.params), **settings._asdict())
    learner = soft.occupancy / jnp.maximum(jnp.sum(soft.occupancy), 1e-12)

    def loss(params: Any) -> tuple[Array, dict[str, Array]]:
        gap = jnp.sum(losses.occupancy_gap(reward.apply(params), learner, expert))
        error = 0.5 * jnp.sum(jnp.abs(jnp.sum(learner - expert, axis=-1)))
        return gap, {"loss": gap, "occupancy_error": error}

    return descend(optimiser, loss, state)


def recovered(
    reward: Any,
    optimiser: optax.GradientTransformation,
    model: tables.Model,
    expert: Array,
    settings: Settings,
    iterations: int,
    key: Key,
) -> tuple[Any, dict[str, Array]]:
    """The reward's parameters after so many steps on a task that is known, and the metrics `[iterations]`."""
    params = reward.init(key)

    def step(state: Learned, _: None) -> tuple[Learned, dict[str, Array]]:
        return ascend(reward, optimiser, state, model, expert, settings)

    state, metrics = jax.lax.scan(step, Learned(params, optimiser.init(params)), None, iterations)
    return state.params, metrics


class State(NamedTuple):
    """What was shown, what was seen of the task, the reward that explains it, and what is best under that."""

    shown: tables.Shown
    counts: tables.Counts
    learned: Learned
    best: Array  # [S, A], values
    soft: Array  # [S, A], soft values


def maxent_irl(
    states: int,
    actions: int,
    expert: Callable[[Key], tables.Shown],
    reward: Any,
    optimiser: optax.GradientTransformation,
    settings: Settings = Settings(),  # noqa: B008
    iterations: int = 1,
) -> Agent:
    """The agent for observations 0, ..., states - 1 that learns how the task moves by acting, and never sees a reward.

    It explores by the soft-optimal policy of what it holds for the reward, and is judged by the optimal one. Learns
    from `replay.on_policy()`.

    Args:
      states: S.
      actions: A.
      expert: `(key) -> what demonstrations say`; policies are compared with them from where they begin.
      reward: a `Table` or `Deep`.
      optimiser: an `agents.common.optimisers` chain.
      settings: of the policies.
      iterations: steps up the likelihood per update.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        del timestep
        k_expert, k_reward = jax.random.split(key)
        params = reward.init(k_reward)
        flat = jnp.zeros((states, actions))
        return State(
            expert(k_expert),
            tables.unseen(states, actions),
            Learned(params, optimiser.init(params)),
            flat,
            jnp.copy(flat),
        )

    def act(actor: tuple[Array, Array], key: Key, carry: Any, timestep: TimeStep, explore: bool) -> Any:
        best, soft = (values[timestep.observation] for values in actor)
        action = jax.random.categorical(key, soft) if explore else jnp.argmax(best, axis=-1)
        return action.astype(jnp.int32), carry, ()

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        counts = tables.counted(state.counts, sample.steps)
        model = tables.estimated(counts)._replace(initial=state.shown.initial)

        def step(learned: Learned, _: None) -> tuple[Learned, dict[str, Array]]:
            return ascend(reward, optimiser, learned, model, state.shown.occupancy, settings)

        learned, metrics = jax.lax.scan(step, state.learned, None, iterations)
        pays = reward.apply(learned.params)
        best = tables.plan(model, pays, discount=settings.discount, sweeps=settings.sweeps).values
        soft = tables.soft_plan(model, pays, **settings._asdict()).values
        return State(state.shown, counts, learned, best, soft), Info(jax.tree.map(lambda x: x[-1], metrics))

    return Agent(init, lambda state: (state.best, state.soft), lambda batch: (), act, update)
