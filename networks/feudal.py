"""The two levels of a feudal network (FuN: Vezhnevets et al., ICML 2017) on one perception.

    z_t = percept(x_t)
    manager   s_t = relu(W z_t),   h_t = dilated LSTM(s̄_t),   g_t = ĝ(h_t) / ‖ĝ(h_t)‖,   V^M(s_t, h_t)
    worker    h_t = LSTM(z_t),   U_t = U(h_t) [A, k],   w_t = φ Σ_{i≤c} ḡ_{t-i},   π = softmax(U_t w_t),   V^D(h_t, w_t)

where a bar stops the gradient: goals are not learned from what the worker does with them, and states, in which goals
are directions, not from goals. φ has no bias, so that a worker who is told nothing acts at random. That V^D knows w is
added here, since what the worker is paid depends on it.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, Tree
from networks.cores import LSTM, DilatedLSTM
from networks.distributions import Categorical
from networks.initializers import orthogonal
from networks.torsos import linear


class Told(NamedTuple):
    """What the manager makes of a window, `[T, B, ...]`."""

    features: Array  # z, which the worker sees too
    state: Array  # s, [T, B, D]
    goal: Array  # g of length 1, [T, B, D]
    value: Array  # V^M


class Manager(nn.Module):
    """Where to go: directions in a space of `size` dimensions."""

    size: int
    dilation: int

    @nn.compact
    def __call__(self, carry: Any, features: Array, first: Array) -> tuple[Told, Any]:
        """`(carry[B], z[T, B, F], first[T, B]) -> (Told, carry[B])`."""
        state = nn.relu(linear(features, self.size, orthogonal(2**0.5), zeros, name="space"))
        core = DilatedLSTM(self.size, self.dilation, name="core")
        carry, h = core(carry, jax.lax.stop_gradient(state), first)
        goal = linear(h, self.size, orthogonal(), zeros, name="goal")
        goal = goal / jnp.sqrt(jnp.sum(jnp.square(goal), -1, keepdims=True) + 1e-12)
        value = linear(jnp.concatenate([state, h], -1), 1, orthogonal(), zeros, name="value")[..., 0]
        return Told(features, state, goal, value), carry


class Worker(nn.Module):
    """How to go there, by discrete actions."""

    num_actions: int
    size: int
    embedding: int

    @nn.compact
    def __call__(
        self, carry: Any, features: Array, pooled: Array, first: Array
    ) -> tuple[tuple[Categorical, Array], Any]:
        """`(carry[B], z[T, B, F], goals[T, B, D], first[T, B]) -> ((policy, V^D[T, B]), carry[B])`."""
        carry, h = LSTM(self.size, name="core")(carry, features, first)
        w = nn.Dense(self.embedding, use_bias=False, kernel_init=orthogonal(), name="goal")(pooled)
        u = linear(h, self.num_actions * self.embedding, orthogonal(0.1), zeros, name="actions")
        u = u.reshape((*h.shape[:-1], self.num_actions, self.embedding))
        logits = jnp.sum(u * w[..., None, :], axis=-1)
        value = linear(jnp.concatenate([h, w], -1), 1, orthogonal(), zeros, name="value")[..., 0]
        return (Categorical(logits), value), carry


class Feudal(nn.Module):
    """Perception, manager and worker; `manage` comes first, and `work` is given the goals that it set."""

    torso: nn.Module  # `observation[..., *shape] -> z[..., F]`
    num_actions: int
    size: int = 256
    """Of the worker's memory."""
    goal_size: int = 256
    """D, of goals and of the manager's memory."""
    embedding: int = 16
    """k."""
    dilation: int = 10
    """r."""

    def setup(self) -> None:
        """Names the parts of the parameters: `torso`, `manager`, `worker`."""
        self.manager = Manager(self.goal_size, self.dilation)
        self.worker = Worker(self.num_actions, self.size, self.embedding)

    @nn.nowrap
    def begin(self, batch: int) -> tuple[Any, Any]:
        """Memories of manager and worker."""
        above = DilatedLSTM(self.goal_size, self.dilation, parent=None)
        return above.begin(batch), LSTM(self.size, parent=None).begin(batch)

    def manage(self, carry: Any, observation: Tree, first: Array) -> tuple[Told, Any]:
        """`(carry[B], observation[T, B, ...], first[T, B]) -> (Told, carry[B])`."""
        return self.manager(carry, self.torso(observation), first)

    def work(self, carry: Any, features: Array, pooled: Array, first: Array) -> tuple[tuple[Categorical, Array], Any]:
        """`(carry[B], z, sums of goals [T, B, D], first[T, B]) -> ((policy, value[T, B]), carry[B])`."""
        return self.worker(carry, features, pooled, first)

    def __call__(self, observation: Tree) -> Any:
        """Both levels on one row `[B, ...]`, which makes all parameters."""
        seen = jax.tree.map(lambda x: x[None], observation)
        batch = jax.tree.leaves(observation)[0].shape[0]
        (above, below), first = self.begin(batch), jnp.ones((1, batch), bool)
        told, _ = self.manage(above, seen, first)
        return self.work(below, told.features, told.goal, first)
