"""MuZero and Gumbel MuZero, which plan in a model that they learn; AlphaZero, which plans with the rules.

Schrittwieser et al., "Mastering Atari, Go, chess and shogi by planning with a learned model", Nature 2020; Danihelka et
al., "Policy improvement by planning with Gumbel", ICLR 2022; Silver et al., "A general reinforcement learning algorithm
that masters chess, shogi and Go through self-play", Science 2018. Every action is found by a search from the row's
observation, whose policy π' and value ν are stored. A window is unrolled in the model for K steps by its own actions:

    s⁰ = h(x_t),   r^k, s^k = g(s^{k-1}, a_{t+k-1}),   p^k, v^k = f(s^k)
    L = ℓ(p⁰, π'_t) + c_v ℓ(v⁰, z_t) + 1/K Σ_k [ℓ(p^k, π'_{t+k}) + c_v ℓ(v^k, z_{t+k}) + ℓ(r^k, r_{t+k})]
    z_t = r_{t+1} + γ r_{t+2} + ... + γⁿ ν_{t+n}

with cross-entropies ℓ, numbers over a support under h, and half the gradient through each s^{k-1}. After a termination
rewards and values are 0. Where two players move in turn γ is negative: what follows is worth the opposite. With the
rules as model (`agents.world.latent.exact`) and K = 0 this is AlphaZero.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
import rlax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.common import optimisers
from agents.world.latent import Latent, Search, searched
from envs import parallel


class State(NamedTuple):
    """What is learned."""

    params: Any
    optimiser: Any


class Targets(NamedTuple):
    """What rows 0, ..., K of a window are learned towards, `[K+1, N]`."""

    policy: Array  # [K+1, N, A]
    value: Array
    reward: Array  # that arrived with the row
    counted: losses.Counted


def muzero(
    latent: Latent,
    optimiser: optax.GradientTransformation,
    *,
    atoms: Array,
    search: Search = Search(),  # noqa: B008
    depth: int = 5,
    n_step: int = 10,
    discount: float | Array = 0.997,
    turns: bool = False,
    value_cost: float | Array = 0.25,
    reanalyse: bool = False,
    improve: bool = True,
    legal: Callable[[Tree], Array] | None = None,
    tx_pair: rlax.TxPair = losses.SIGNED_HYPERBOLIC_PAIR,
) -> Agent:
    """The agent, for replays of windows of `depth + n_step` transitions.

    Args:
      latent: of `agents.world.latent`: `learned` for MuZero, `exact` for AlphaZero.
      optimiser: an `agents.common.optimisers` chain.
      atoms: the support of values and rewards under h, symmetric about 0.
      search: how to search; Gumbel MuZero by default.
      depth: K, with an exact model 0.
      n_step: n.
      discount: γ.
      turns: whether two players move in turn.
      value_cost: c_v.
      reanalyse: search anew in what is sampled, and bootstrap from the values of today.
      improve: learn the policy of the search; without, as an ablation, the network's own.
      legal: `(observation) -> bool [A]` of one lane, what the rules allow; None for all actions.
      tx_pair: h and its inverse.
    """
    gamma = -discount if turns else discount
    find = searched(latent, search, atoms, tx_pair, gamma)
    scalar = lambda logits: losses.support_mean(logits, atoms, tx_pair)  # noqa: E731

    def look(params: Any, key: Key, observation: Tree, explore: bool) -> tuple[Array, Array, Array]:
        found = find(params, key, observation, legal and jax.vmap(legal)(observation), explore)
        return found.action, found.policy if improve else jax.nn.softmax(found.prior), found.value

    def init(key: Key, timestep: TimeStep) -> State:
        params = latent.init(key, timestep.observation)
        return State(params, optimiser.init(params))

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        action, policy, value = look(params, key, timestep.observation, explore)
        return action, carry, {"policy": policy, "value": value}

    def anew(params: Any, key: Key, steps: Step) -> tuple[Array, Array]:
        """Policies of rows 0, ..., K by a search of today, and the network's values of all rows."""
        rows, lanes = steps.timestep.reward.shape
        flat = jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), steps.timestep.observation)
        searching = jax.tree.map(lambda x: x[: (depth + 1) * lanes], flat)
        policy = look(params, key, searching, True)[1].reshape((depth + 1, lanes, -1))
        value = scalar(latent.judge(params, latent.start(params, flat))[1]).reshape((rows, lanes))
        return jax.lax.stop_gradient((policy, value))

    def targets(params: Any, key: Key, steps: Step) -> Targets:
        kinds, reward, ending, _ = steps.timestep
        policy, value = steps.extras["policy"][: depth + 1], steps.extras["value"]
        if reanalyse:
            policy, value = anew(params, key, steps)
        over_lanes = jax.vmap(losses.n_step_returns, (1, 1, 1, 1, None), 1)
        returns = over_lanes(reward[1:], gamma * ending[1:], value[1:], kinds, n_step)[: depth + 1]
        counted = losses.counted(kinds, ending, depth)
        returns = jnp.where(counted.policy & counted.value, returns, 0.0)
        return Targets(policy, returns, jnp.where(counted.over, 0.0, reward[: depth + 1]), counted)

    def unrolled(params: Any, steps: Step) -> tuple[Array, Array, Any]:
        """Logits of policies and values of rows 0, ..., K, `[K+1, N, ...]`, and of rewards of rows 1, ..., K."""
        root = latent.start(params, jax.tree.map(lambda x: x[0], steps.timestep.observation))
        first = latent.judge(params, root)
        if depth == 0:
            return first[0][None], first[1][None], None

        def step(state: Any, action: Array) -> tuple[Any, tuple]:
            after = latent.step(params, optax.scale_gradient(state, 0.5), action)
            return after.state, (latent.judge(params, after.state), after.logits)

        _, (later, rewards) = jax.lax.scan(step, root, steps.action[:depth])
        joined = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), first, later)
        return *joined, rewards

    def loss(params: Any, sample: Sample, told: Targets) -> tuple[Array, dict[str, Array]]:
        logits, values, rewards = unrolled(params, sample.steps)
        each = {
            "policy_loss": losses.categorical_nll(logits, told.policy) * told.counted.policy,
            "value_loss": losses.support_loss(values, told.value, atoms, tx_pair) * told.counted.value,
        }
        if depth:
            paid = losses.support_loss(rewards, told.reward[1:], atoms, tx_pair) * told.counted.reward[1:]
            each["reward_loss"] = jnp.concatenate([jnp.zeros_like(paid[:1]), paid])
        # All that is predicted k > 0 steps ahead counts 1/K, so that the root counts as much as all of it.
        share = jnp.where(jnp.arange(depth + 1) == 0, 1.0, 1 / max(depth, 1))
        means = {name: jnp.mean(sample.weight * (share @ x)) for name, x in each.items()}
        total = means["policy_loss"] + value_cost * means["value_loss"] + means.get("reward_loss", 0.0)
        alive = told.counted.policy[0]
        entropy = parallel.masked_mean(losses.entropy(logits[0]), alive)
        return total, {"loss": total, **means, "entropy": entropy, "value": jnp.mean(scalar(values[0]))}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        told = targets(state.params, key, sample.steps)
        (_, metrics), gradients = jax.value_and_grad(loss, has_aux=True)(state.params, sample, told)
        params, opt_state, named = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        known = told.counted.policy[0] & told.counted.value[0]
        gap = jnp.abs(told.value[0] - sample.steps.extras["value"][0]) * known
        return State(params, opt_state), Info({**metrics, "td_error": jnp.mean(gap), **named}, gap)

    return Agent(init, lambda state: state.params, lambda batch: (), act, update)
