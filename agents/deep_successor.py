"""Deep successor representation, and its norm as a bonus for what is met rarely.

Kulkarni, Saeedi, Gautam and Gershman, "Deep successor reinforcement learning", 2016 (arXiv:1606.02396); Machado,
Bellemare and Bowling, "Count-based exploration with the successor representation", AAAI 2020. With features φ of length
1, what follows ψ and what features pay w,

    Q(x, a) = ψ(x, a)ᵀw        L = ½ (r + b - φ(x_t)ᵀw)² + c ½ ‖x_t - x̂(φ(x_t))‖²
                                   + ½ ‖φ(x_t) + γ_t ψ(x_t, a*; θ⁻) - ψ(x_{t-1}, a_{t-1})‖²        b = β / ‖ψ(x_t; θ⁻)‖₁

where a* is greedy and the last term trains no features. ψ begins near 0 and grows with the visits to a state, mean over
actions, so that 1 / ‖ψ‖₁ says how rare it is. A reward that changes is learned anew in w alone.
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

import networks
from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, valid
from agents.common import objectives
from agents.common.bonuses.encoders import Head, flat
from agents.dqn import Actor, epsilon_greedy
from envs import parallel
from envs.base import Discrete, Spec
from networks.initializers import orthogonal


class State(NamedTuple):
    """What is learned, the targets, and how many updates were made."""

    learned: Learned
    target: Any
    updates: Array  # int32

    @property
    def params(self) -> Any:
        """What is learned by gradient."""
        return self.learned.params


class Follower(nn.Module):
    """ψ of each action from φ, close to 0 at first."""

    width: int
    actions: int
    features: int

    @nn.compact
    def __call__(self, code: Array) -> Array:
        """`[..., F] -> [..., A, F]`."""
        x = networks.MLP((self.width,))(code)
        x = nn.Dense(self.actions * self.features, kernel_init=orthogonal(0.01))(x)
        return x.reshape((*code.shape[:-1], self.actions, self.features))


def deep_successor(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    hidden: tuple[int, ...] = (64, 64),
    features: int = 32,
    cnn: str | None = None,
    discount: float | Array = 0.99,
    epsilon: float | Array | optax.Schedule = 0.1,
    bonus: float | Array = 0.0,
    reconstruction: float | Array = 1.0,
    target_period: int | Array = 1,
    target_rate: float | Array = 0.01,
) -> Agent:
    """The agent; learns from `replay.uniform` of single transitions.

    Args:
      spec: of the task; its actions are discrete.
      optimiser: an `agents.common.optimisers` chain.
      hidden: sizes of the layers before φ; the last is that of the layer between φ and ψ too.
      features: F.
      cnn: convolutions for images, as in `networks.Torso`.
      discount: γ.
      epsilon: probability of a random action, or a schedule of it over updates. Evaluation is greedy.
      bonus: β; 0 for none.
      reconstruction: c.
      target_period: updates between moves of the target parameters θ⁻.
      target_rate: how far θ⁻ moves towards θ each time: 1 copies.

    Raises:
      ValueError: the actions are not discrete.
    """
    if not isinstance(spec.action, Discrete):
        raise ValueError(f"deep_successor: actions are {spec.action}; must be Discrete")
    actions = spec.action.num
    encoder = Head(networks.Torso(spec.observation, hidden, cnn), (features,))
    follower = Follower(hidden[-1], actions, features)

    def phi(params: Any, observation: Tree) -> Array:
        raw = jax.nn.relu(jnp.asarray(encoder.apply(params["encoder"], observation))) + 1e-6
        return raw / jnp.linalg.norm(raw, axis=-1, keepdims=True)

    def psi(params: Any, code: Array) -> Array:
        """`[..., A, F]`."""
        return jnp.asarray(follower.apply(params["follower"], code))

    def decoder(observation: Tree) -> networks.MLP:
        return networks.MLP((hidden[-1], flat(spec.observation, observation).shape[-1]), activate_final=False)

    def init(key: Key, timestep: TimeStep) -> State:
        k_encoder, k_follower, k_decoder = jax.random.split(key, 3)
        code = jnp.zeros((timestep.reward.shape[0], features))
        params = {
            "encoder": encoder.init(k_encoder, timestep.observation),
            "follower": follower.init(k_follower, code),
            "decoder": decoder(timestep.observation).init(k_decoder, code),
            "weights": jnp.zeros(features),
        }
        target = jax.tree.map(jnp.copy, params)
        return State(Learned(params, optimiser.init(params)), target, jnp.int32(0))

    def values(params: Any, observation: Tree) -> Array:
        return psi(params, phi(params, observation)) @ params["weights"]

    def actor(state: State) -> Actor:
        rate = epsilon(state.updates) if callable(epsilon) else epsilon
        return Actor(state.params, jnp.asarray(rate, jnp.float32))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        q = values(actor.params, timestep.observation)
        return epsilon_greedy(key, q, actor.epsilon if explore else jnp.float32(0)), carry, {}

    def loss(params: Any, target: Any, sample: Sample) -> tuple[Array, dict[str, Array]]:
        steps, mask = sample.steps, valid(sample.steps)
        arrived = jax.tree.map(lambda x: x[1:], steps.timestep)
        before = jax.tree.map(lambda x: x[:-1], steps.timestep.observation)
        code = phi(params, arrived.observation)
        psi_tm1 = objectives.taken(psi(params, jax.lax.stop_gradient(phi(params, before))), steps.action[:-1])
        after = psi(target, phi(target, arrived.observation))
        best = jnp.argmax(values(params, arrived.observation), -1)
        discount_t = discount * arrived.discount
        error = losses.successor_error(psi_tm1, code, discount_t, objectives.taken(after, best))
        paid = arrived.reward + bonus * losses.successor_bonus(jnp.mean(after, -2))
        x = flat(spec.observation, arrived.observation)
        decoded = jnp.asarray(decoder(arrived.observation).apply(params["decoder"], code))
        terms = {
            "successor_loss": jnp.sum(losses.squared(error), -1),
            "reward_loss": losses.squared(jax.lax.stop_gradient(paid) - code @ params["weights"]),
            "reconstruction_loss": jnp.sum(losses.squared(x - decoded), -1),
            "q_mean": psi_tm1 @ jax.lax.stop_gradient(params["weights"]),
            "td_error": jnp.abs(error @ jax.lax.stop_gradient(params["weights"])),
            "bonus": paid - arrived.reward,
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        total = means["successor_loss"] + means["reward_loss"] + reconstruction * means["reconstruction_loss"]
        return total, {"loss": total, **means}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        learned, metrics = descend(optimiser, loss, state.learned, state.target, sample)
        count = state.updates + 1
        rate = jnp.where(count % target_period == 0, target_rate, 0.0)
        target = optax.incremental_update(learned.params, state.target, rate)
        return State(learned, target, count), Info({**metrics, "epsilon": actor(state).epsilon})

    return Agent(init, actor, lambda batch: (), act, update)
