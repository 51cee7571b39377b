"""Builders that join torso, core and heads into a `networks.base.Network`.

Parts are flax modules. Torsos and heads are handed `[N, ...]` with time and batch merged; only a core sees time.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array, Key, Tree, batch_of
from networks.base import Network


def q_network(torso: nn.Module, head: nn.Module, core: nn.Module | None = None) -> Network:
    """A network with one head, typically action values.

    Args:
      torso: `observation[N, ...] -> [N, D]`.
      head: `[N, D] -> ` a tree of `[N, ...]`; for `QValues` the output of the network is `[T, B, A]`.
      core: an `LSTM`, a `GRU` or alike between the two.
    """
    return _network(_QNetwork(torso, head, core), core.begin if core else _nothing)


def actor_critic(
    torso: nn.Module,
    policy: nn.Module,
    value: nn.Module,
    core: nn.Module | None = None,
    critic_torso: nn.Module | None = None,
) -> Network:
    """A network whose output is `(distribution, value[T, B])`.

    Args:
      torso: `observation[N, ...] -> [N, D]`, shared by both heads unless there is a `critic_torso`.
      policy: `[N, D] -> distribution`.
      value: `[N, D] -> [N]`.
      core: an `LSTM`, a `GRU` or alike between torso and heads.
      critic_torso: a torso for the value alone; with a core it is followed by a second one of the same kind.
    """
    if critic_torso is None or core is None:
        begin = core.begin if core else _nothing
        return _network(_ActorCritic(torso, policy, value, core, critic_torso), begin)
    module = _ActorCritic(torso, policy, value, core, critic_torso, core.clone())
    return _network(module, lambda batch: (core.begin(batch), core.begin(batch)))


def forked(torso: nn.Module, policy: nn.Module, critic: nn.Module, core: nn.Module | None = None) -> Network:
    """A network whose output is `(policy, critic)` on one torso that learns from the critic alone, as the Reactor's.

    Args:
      torso: `observation[N, ...] -> [N, D]`; no gradient flows into it from the policy.
      policy: `[N, D] -> distribution`.
      critic: `[N, D] -> ` a tree of `[N, ...]`.
      core: an `LSTM`, a `GRU` or alike; policy and critic get one each.
    """
    if core is None:
        return _network(_Forked(torso, policy, critic), _nothing)
    module = _Forked(torso, policy, critic, core, core.clone())
    return _network(module, lambda batch: (core.begin(batch), core.begin(batch)))


# Members of an ensemble up to which they are applied one by one: a batched matrix product costs a CPU more than a few
# plain ones.
FEW = 4


def ensemble(network: Network, num: int) -> Network:
    """`num` feed-forward networks of one kind side by side: parameters and outputs `[num, ...]`, inputs shared.

    Raises:
      ValueError: `num` is less than 1, or the network has memory.
    """
    if num < 1:
        raise ValueError(f"num: {num} must be at least 1")
    if jax.tree.leaves(network.begin(1)):
        raise ValueError("network: an ensemble's members must be feed-forward")

    def init(key: Key, observation: Tree) -> Any:
        return jax.vmap(network.init, (0, None))(jax.random.split(key, num), observation)

    def apply(params: Any, key: Key | None, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        keys = None if key is None else jax.random.split(key, num)
        member = lambda params, key: network.apply(params, key, (), observation, first)[0]  # noqa: E731
        if num > FEW:
            return jax.vmap(member, (0, None if key is None else 0))(params, keys), carry
        each = [member(*jax.tree.map(lambda x, i=i: x[i], (params, keys))) for i in range(num)]
        return jax.tree.map(lambda *x: jnp.stack(x), *each), carry

    return Network(init, apply, network.begin)


def unreal(
    encoder: nn.Module,
    dense: nn.Module,
    policy: nn.Module,
    value: nn.Module,
    pixels: nn.Module,
    core: nn.Module | None = None,
) -> Network:
    """A network whose output is `(policy, value, {"pixels", "reward"})`, the last for auxiliary tasks, as UNREAL's.

    Args:
      encoder: `observation[N, ...] -> [N, E]`, shared by everything: the convolutions.
      dense: `[N, E] -> [N, D]`, shared by all heads but `reward`.
      policy: `[N, D] -> distribution`, or whatever else the agent wants in its place.
      value: `[N, D] -> [N]`.
      pixels: `[N, D] -> [N, H', W', A]`, values of changing each cell of the image.
      core: an `LSTM`, a `GRU` or alike between `dense` and all heads but `reward`, whose logits `[T, B, 3]` come, by a
        layer of 128 of their own, from what the encoder makes of the last three rows of the episode, zeros where there
        are fewer.
    """
    return _network(_Unreal(encoder, dense, policy, value, pixels, core), core.begin if core else _nothing)


def view(network: Network, of: Callable[[Any], Any]) -> Network:
    """The network with `of(output)` as its output: some of the heads, for an agent that knows no others."""

    def apply(*args: Any) -> tuple[Any, Any]:
        output, carry = network.apply(*args)
        return of(output), carry

    return network._replace(apply=apply)


def _nothing(batch: int) -> tuple[()]:
    return ()


class _QNetwork(nn.Module):
    torso: nn.Module
    head: nn.Module
    core: nn.Module | None

    def __call__(self, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        features, carry = _features(self.torso, self.core, carry, observation, first)
        return _split(self.head(features), first), carry


class _ActorCritic(nn.Module):
    torso: nn.Module
    policy: nn.Module
    value: nn.Module
    core: nn.Module | None
    critic_torso: nn.Module | None
    critic_core: nn.Module | None = None

    def __call__(self, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        critic_carry: Any = ()
        if self.critic_core is not None:
            carry, critic_carry = carry
        features, carry = _features(self.torso, self.core, carry, observation, first)
        critic_features = features
        if self.critic_torso is not None:
            critic_features, critic_carry = _features(
                self.critic_torso, self.critic_core, critic_carry, observation, first
            )
        output = self.policy(features), self.value(critic_features)
        return _split(output, first), carry if self.critic_core is None else (carry, critic_carry)


class _Forked(nn.Module):
    torso: nn.Module
    policy: nn.Module
    critic: nn.Module
    policy_core: nn.Module | None = None
    critic_core: nn.Module | None = None

    def __call__(self, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        features = _split(self.torso(jax.tree.map(_merge, observation)), first)
        fixed = jax.lax.stop_gradient(features)
        before = carry or ((), ())
        for_policy, policy_carry = _features(lambda x: x, self.policy_core, before[0], fixed, first)
        for_critic, critic_carry = _features(lambda x: x, self.critic_core, before[1], features, first)
        output = self.policy(for_policy), self.critic(for_critic)
        return _split(output, first), carry and (policy_carry, critic_carry)


class _Unreal(nn.Module):
    encoder: nn.Module
    dense: nn.Module
    policy: nn.Module
    value: nn.Module
    pixels: nn.Module
    core: nn.Module | None

    @nn.compact
    def __call__(self, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        seen = _split(self.encoder(jax.tree.map(_merge, observation)), first)
        features, carry = _features(self.dense, self.core, carry, seen, first)
        rows = [seen]
        for _ in range(2):
            before = jnp.concatenate([jnp.zeros_like(seen[:1]), rows[-1][:-1]])
            rows.append(jnp.where(first[..., None], 0.0, before))
        reward = nn.Dense(3)(nn.relu(nn.Dense(128)(_merge(jnp.concatenate(rows, -1)))))
        heads = {"pixels": self.pixels(features), "reward": reward}
        return _split((self.policy(features), self.value(features), heads), first), carry


def _features(
    torso: Callable[[Tree], Array], core: nn.Module | None, carry: Any, observation: Tree, first: Array
) -> tuple[Array, Any]:
    """Features `[T * B, D]` and the carry after the window."""
    features = torso(jax.tree.map(_merge, observation))
    if core is None:
        return features, carry
    carry, outputs = core(carry, _split(features, first), first)
    return _merge(outputs), carry


def _merge(x: Array) -> Array:
    return x.reshape((-1, *x.shape[2:]))


def _split(tree: Tree, first: Array) -> Tree:
    return jax.tree.map(lambda x: x.reshape((*first.shape, *x.shape[1:])), tree)


def _network(module: nn.Module, begin: Any) -> Network:
    def init(key: Key, observation: Tree) -> Any:
        batch = batch_of(observation)
        window = jax.tree.map(lambda x: x[None], observation)
        k_params, k_noise = jax.random.split(key)
        rngs = {"params": k_params, "noise": k_noise}
        return module.init(rngs, begin(batch), window, jnp.ones((1, batch), bool))["params"]

    def apply(params: Any, key: Key | None, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        rngs = {} if key is None else {"noise": key}
        return module.apply({"params": params}, carry, observation, first, rngs=rngs)

    return Network(init, apply, begin)
