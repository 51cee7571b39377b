"""Models with a policy and a value of their own states, and the search by mctx that plans in them.

`learned` is MuZero's: its states are latents. `exact` is AlphaZero's: its states are those of the rules, and a network
judges what they show. Both are searched by `searched`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import rlax

from agents import losses
from agents.base import Array, Key, Tree
from agents.world import models
from envs import keys
from envs.base import Rules
from networks.base import Network

ILLEGAL = -1e9
"""The logit of what the rules forbid; mctx wants finite ones."""


class Stepped(NamedTuple):
    """What comes of actions, for N rows."""

    state: Any
    reward: Array
    discount: Array  # 0 where the episode ended
    logits: Any  # of the reward, [N, atoms]; () where it is known


class Latent(NamedTuple):
    """Four pure functions for N rows; the parameters are what is learned."""

    init: Callable[[Key, Tree], Any]
    """`(key, observation[N]) -> params`."""
    start: Callable[[Any, Tree], Any]
    """`(params, observation[N]) -> state[N]`."""
    step: Callable[[Any, Any, Array], Stepped]
    """`(params, state[N], action[N]) -> Stepped`."""
    judge: Callable[[Any, Any], tuple[Array, Array]]
    """`(params, state[N]) -> (logits of the policy [N, A], logits of the value [N, atoms])`."""


def learned(module: nn.Module, atoms: Array, tx_pair: rlax.TxPair) -> Latent:
    """MuZero's model: a `networks.LatentModel`, whose rewards are read over `atoms` under h."""

    def call(name: str, params: Any, *args: Any) -> Any:
        return module.apply({"params": params}, *args, method=name)

    def step(params: Any, state: Array, action: Array) -> Stepped:
        state, logits = call("step", params, state, action)
        return Stepped(state, losses.support_mean(logits, atoms, tx_pair), jnp.ones(action.shape[0]), logits)

    return Latent(
        lambda key, observation: module.init(key, observation)["params"],
        lambda params, observation: call("start", params, observation),
        step,
        lambda params, state: call("judge", params, state),
    )


def exact(rules: Rules, network: Network) -> Latent:
    """AlphaZero's model: the rules of a task without chance, judged by a network of what they show.

    Args:
      rules: of the task.
      network: observation -> (logits of the policy, logits of the value), feed-forward.
    """
    model = models.simulator(*rules[:3])

    def step(params: Any, state: Any, action: Array) -> Stepped:
        del params
        state, said = model.step((), keys.key(0), state, action)
        return Stepped(state, said.reward, said.discount, ())

    def judge(params: Any, state: models.Simulated) -> tuple[Array, Array]:
        seen = jax.tree.map(lambda x: x[None], state.observation)
        first = jnp.zeros((1, state.over.shape[0]), bool)
        logits, value = jax.tree.map(lambda x: x[0], network.apply(params, None, (), seen, first)[0])
        if rules.legal is not None:
            logits = jnp.where(jax.vmap(rules.legal)(state.observation), logits, ILLEGAL)
        return logits, value

    return Latent(network.init, lambda params, observation: model.start(observation), step, judge)


class Search(NamedTuple):
    """How to search; see mctx for what the numbers are."""

    simulations: int = 16
    gumbel: bool = True
    """Gumbel MuZero, else PUCT with Dirichlet noise at the root."""
    considered: int = 16
    """Actions that Gumbel MuZero's sequential halving begins with."""
    value_scale: float | Array = 0.1
    """Gumbel's c_scale: how much values count beside the prior's logits."""
    visit_scale: float | Array = 50.0
    """Gumbel's c_visit."""
    noise: float | Array = 0.25
    """PUCT's share of Dirichlet noise in the root's prior, while exploring."""
    alpha: float | Array = 0.25
    """The noise's concentration."""
    temperature: float | Array = 1.0
    """Of the visits that PUCT draws an action by, while exploring."""


class Found(NamedTuple):
    """What a search found for B roots."""

    action: Array  # int32 [B]
    policy: Array  # [B, A], better than the prior
    value: Array  # [B], of the root
    prior: Array  # logits [B, A]
    raw: Array  # [B], the value of the root by the network alone
    tree: Any  # mctx's


def searched(
    latent: Latent, search: Search, atoms: Array, tx_pair: rlax.TxPair, discount: float | Array
) -> Callable[..., Found]:
    """`(params, key, observation[B], legal[B, A] or None, explore) -> Found`.

    Args:
      latent: what is searched.
      search: how.
      atoms: the support of values, under h.
      tx_pair: h and its inverse.
      discount: γ; negative where two players move in turn, so that what follows is worth the opposite to who moved.
    """
    import mctx

    def judged(params: Any, state: Any) -> tuple[Array, Array]:
        logits, value = latent.judge(params, state)
        return logits, losses.support_mean(value, atoms, tx_pair)

    def recurrent(params: Any, key: Key, action: Array, state: Any) -> tuple[Any, Any]:
        del key
        after = latent.step(params, state, action)
        logits, value = judged(params, after.state)
        said = mctx.RecurrentFnOutput(
            reward=after.reward,
            discount=discount * after.discount,
            prior_logits=logits,
            value=value * after.discount,
        )
        return said, after.state

    def find(params: Any, key: Key, observation: Tree, legal: Array | None, explore: bool) -> Found:
        state = latent.start(params, observation)
        logits, raw = judged(params, state)
        root = mctx.RootFnOutput(prior_logits=logits, value=raw, embedding=state)
        barred = None if legal is None else (~legal).astype(jnp.int32)
        key = key if explore else keys.key(0)  # greedy play searches with the same numbers every time
        if search.gumbel:
            scores = lambda tree, node: mctx.qtransform_completed_by_mix_value(  # noqa: E731
                tree, node, value_scale=search.value_scale, maxvisit_init=search.visit_scale
            )
            found: Any = mctx.gumbel_muzero_policy(
                params, key, root, recurrent, search.simulations, barred, qtransform=scores,
                max_num_considered_actions=search.considered, gumbel_scale=float(explore),
            )  # fmt: skip
        else:
            found = mctx.muzero_policy(
                params, key, root, recurrent, search.simulations, barred,
                dirichlet_fraction=search.noise if explore else 0.0, dirichlet_alpha=search.alpha,
                temperature=search.temperature if explore else 0.0,
            )  # fmt: skip
        told = found.search_tree.summary()
        masked = logits if legal is None else jnp.where(legal, logits, ILLEGAL)
        value = told.value
        if search.gumbel:
            value = losses.search_value(found.action_weights, told.qvalues, told.visit_counts, masked, raw)
        action = found.action.astype(jnp.int32)
        return jax.lax.stop_gradient(Found(action, found.action_weights, value, masked, raw, found.search_tree))

    return find
