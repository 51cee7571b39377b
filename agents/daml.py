"""One-shot imitation by a learned loss: an agent that adapts to what it is shown by one gradient step.

Yu, Finn, Xie, Dasari, Zhang, Abbeel and Levine, "One-shot imitation from observing humans via domain-adaptive
meta-learning", RSS 2018. What is shown, d, has no actions, so that no loss of them says what to change. A loss is
learned that says so, of the policy's activations h(d) over time:

    L_ψ(θ, d) = mean ‖ g_ψ(h_θ(d_1), ..., h_θ(d_T)) ‖²         φ = θ - α ∇_θ L_ψ(θ, d)

with g two convolutions through time. θ, ψ and a step size α of every leaf descend the squared error of φ on the actions
of a paired demonstration d'. The policy also has an input that is learned, the same for all x, whose gradient alone can
turn what it does.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from agents import losses
from agents.a2c import State, descend
from agents.base import Agent, Array, Info, Key, Sample, TimeStep

KEYS = ("stream", "demo", "x")
"""What an observation holds: what is shown `[T, D]`, a paired demonstration `[N, 1 + A]` of positions and actions, and
the position that is asked about `[1]`."""


class Policy(nn.Module):
    """Position or point of a stream `[..., D]` -> action `[..., A]` and the activations behind it `[..., H]`."""

    actions: int
    hidden: tuple[int, ...]
    free: int

    @nn.compact
    def __call__(self, x: Array) -> tuple[Array, Array]:
        """The action, and the last hidden layer beside it."""
        free = self.param("free", nn.initializers.zeros, (self.free,))
        h = jnp.concatenate([x, jnp.broadcast_to(free, (*x.shape[:-1], self.free))], axis=-1)
        for width in self.hidden:
            h = nn.tanh(nn.Dense(width)(h))
        action = nn.Dense(self.actions)(h)
        return action, jnp.concatenate([h, action], axis=-1)


def spans(h: Array, length: int) -> Array:
    """Each of the points `[T, H]` beside those around it, `[T, length H]`, zeros beyond both ends.

    A dense layer of these is a convolution through time. As a product it is many times as fast on a CPU, where XLA has
    no fast convolution within a scan.
    """
    wide = jnp.pad(h, (((length - 1) // 2, length // 2), (0, 0)))
    return jnp.concatenate([wide[i : i + len(h)] for i in range(length)], axis=-1)


class Temporal(nn.Module):
    """Activations through time `[T, H]` -> a loss."""

    filters: int
    length: int

    @nn.compact
    def __call__(self, h: Array) -> Array:
        """The mean square of what two convolutions make of them."""
        h = nn.relu(nn.Dense(self.filters)(spans(h, self.length)))
        return jnp.mean(jnp.square(nn.Dense(self.filters)(spans(h, self.length))))


class Params(NamedTuple):
    """What is meta-learned."""

    policy: Any
    loss: Any
    rates: Any  # α, one for each leaf of the policy


def one_step(policy: Callable[..., Any], loss: Callable[..., Any], params: Params, shown: Array) -> Any:
    """φ: the policy's parameters after one step down the learned loss of what was shown `[T, D]`.

    Args:
      policy: `(θ, x [T, D]) -> (actions, activations [T, H])`.
      loss: `(ψ, activations) -> scalar`.
      params: θ, ψ and the step sizes.
      shown: as above.
    """
    slope = jax.grad(lambda theta: loss(params.loss, policy(theta, shown)[1]))(params.policy)
    return jax.tree.map(lambda theta, rate, g: theta - rate * g, params.policy, params.rates, slope)


def daml(
    optimiser: optax.GradientTransformation,
    *,
    hidden: tuple[int, ...] = (64, 64),
    free: int = 10,
    filters: int = 16,
    length: int = 5,
    rate: float = 0.05,
    adapts: bool = True,
    learned: bool = True,
) -> Agent:
    """The agent, for tasks that show KEYS; learns from `replay.on_policy(1)`, of each row's demonstration.

    Args:
      optimiser: of θ, ψ and α, an `agents.common.optimisers` chain.
      hidden: sizes of the policy's layers.
      free: size of its learned input.
      filters: of each convolution of the loss.
      length: of a filter, in time.
      rate: what each α begins with.
      adapts: take the step; without it one policy serves all tasks.
      learned: learn the loss; without it ψ stays as it was drawn.
    """

    def modules(action: int) -> tuple[Policy, Temporal]:
        return Policy(action, hidden, free), Temporal(filters, length)

    def placed(x: Array, dims: int) -> Array:
        """Positions `[..., 1]` as the policy sees them, beside zeros where a stream has more numbers."""
        return jnp.concatenate([x, jnp.zeros((*x.shape[:-1], dims - x.shape[-1]))], axis=-1)

    def init(key: Key, timestep: TimeStep) -> State:
        seen = timestep.observation
        k_policy, k_loss = jax.random.split(key)
        policy, temporal = modules(seen["demo"].shape[-1] - 1)
        theta = policy.init(k_policy, seen["stream"][0])
        psi = temporal.init(k_loss, policy.apply(theta, seen["stream"][0])[1])
        params = Params(theta, psi, jax.tree.map(lambda x: jnp.float32(rate), theta))
        return State(params, optimiser.init(params))

    def answered(params: Params, shown: Array, x: Array, actions: int) -> Array:
        """The actions `[N, A]` at positions `[N, 1]` of the policy that adapted to one stream."""
        policy, temporal = modules(actions)
        phi = one_step(policy.apply, temporal.apply, params, shown) if adapts else params.policy
        return policy.apply(phi, placed(x, shown.shape[-1]))[0]

    def act(params: Params, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        del key, explore
        seen = timestep.observation
        answer = jax.vmap(lambda shown, x: answered(params, shown, x[None], seen["demo"].shape[-1] - 1)[0])
        return answer(seen["stream"], seen["x"]), carry, ()

    def loss(params: Params, seen: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        own = params if learned else params._replace(loss=jax.lax.stop_gradient(params.loss))
        actions = seen["demo"].shape[-1] - 1
        found = jax.vmap(lambda shown, demo: answered(own, shown, demo[:, :1], actions))(seen["stream"], seen["demo"])
        error = jnp.mean(losses.squared_cloning(found, seen["demo"][..., 1:]))
        return error, {"loss": error, "rate": jnp.mean(jnp.stack(jax.tree.leaves(params.rates)))}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        seen = jax.tree.map(lambda x: x[0], sample.steps.timestep.observation)
        state, metrics = descend(optimiser, loss, state, seen)
        return state, Info(metrics)

    return Agent(init, lambda state: state.params, lambda lanes: (), act, update)
