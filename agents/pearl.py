"""Probabilistic embeddings for actor-critic reinforcement learning.

Rakelly, Zhou, Quillen, Finn and Levine, "Efficient off-policy meta-reinforcement learning via probabilistic context
variables", ICML 2019. An encoder makes a Gaussian factor of every transition c_n of a task, and their product is what
is believed of the task, whatever their order:

    q(z|c) ∝ Π_n N(z; μ(c_n), σ²(c_n))            no factor is the prior N(0, 1), which holds where nothing was seen

SAC's critics and policy are given a z of it. The encoder learns from the critics' loss, and from
β KL(q(z|c) ‖ N(0, 1)); the policy and the targets see z as a constant. Acting draws z at the start of each episode of a
trial, from what the trial has shown so far, and keeps it to the episode's end: posterior sampling, for which a memory
of two sums is enough.

Windows are drawn from all past play, and what is believed of a row's task comes from half or more of the same trial's
transitions in its window; the paper keeps a buffer of recent play for that. Ends of episodes within a trial are taken
for truncations.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from envs import parallel
from networks.base import Network


class Networks(NamedTuple):
    """All three see one vector."""

    encoder: Network  # (x, a, r, x') -> Gaussian [latent]
    policy: Network  # (x, z) -> a distribution in [-1, 1]
    critic: Network  # (x, a, z) -> values [E]


class Critics(NamedTuple):
    """What learns from the critics' loss."""

    critic: Any
    encoder: Any


class State(NamedTuple):
    """What PEARL learns."""

    policy: Learned
    critic: Learned  # of `Critics`
    target: Any  # the critics'

    @property
    def params(self) -> Any:
        """What is learned by gradient."""
        return self.policy.params, self.critic.params


class Belief(NamedTuple):
    """A product of Gaussians, by its natural parameters, `[..., latent]`; zeros stand for the prior."""

    precision: Array
    weighted: Array  # precision times mean


class Carry(NamedTuple):
    """What a lane knows of its trial."""

    latent: Array  # z, [B, latent]
    belief: Belief
    observation: Array  # the one before, [B, D]


def gaussian(belief: Belief) -> tuple[Array, Array]:
    """Mean and standard deviation of a belief; those of the prior where it is of nothing."""
    empty = belief.precision <= 0
    variance = 1 / jnp.where(empty, 1.0, belief.precision)
    return belief.weighted * variance, jnp.sqrt(variance)


def prior_kl(belief: Belief) -> Array:
    """KL(q ‖ N(0, 1)), `[...]`."""
    mean, std = gaussian(belief)
    return 0.5 * jnp.sum(jnp.square(mean) + jnp.square(std) - 1 - 2 * jnp.log(std), axis=-1)


def applied(network: Network, params: Any, *parts: Array) -> Any:
    """A network at rows `[T, N]` of a vector that is given in parts."""
    seen = jnp.concatenate(parts, axis=-1)
    return network.apply(params, None, (), seen, jnp.zeros(seen.shape[:2], bool))[0]


def factors(network: Network, params: Any, *parts: Array) -> Belief:
    """The factors of transitions `[T, N]`, given in parts."""
    factor = applied(network, params, *parts)
    precision = jnp.exp(-2 * factor.log_std)
    return Belief(precision, precision * factor.mean)


def real(timestep: TimeStep) -> Array:
    """Which rows `[...]` are arrived at by an action, and open no episode."""
    return ~timestep.first() & (timestep.observation["new_episode"][..., 0] == 0)


def believed(each: Belief, counted: Array, trial: Array) -> Belief:
    """What is believed at each row `[T, N, latent]`, of the transitions of its own trial in the window.

    Args:
      each: factors `[T, N, latent]`.
      counted: whether they count, `[T, N]`.
      trial: which trial of the window a row is of, `[T, N]`.
    """

    def summed(x: Array) -> Array:
        same = trial[:, None] == trial[None]  # [T, T, N]
        return jnp.einsum("stn,tnl->snl", same.astype(x.dtype), x * counted[..., None])

    return jax.tree.map(summed, each)


def pearl(
    networks: Networks,
    optimiser: optax.GradientTransformation,
    policy_optimiser: optax.GradientTransformation,
    latent: int,
    size: int,
    *,
    discount: float | Array = 0.9,
    temperature: float | Array = 0.01,
    kl_cost: float | Array = 0.01,
    target_rate: float | Array = 0.01,
    blind: bool = False,
    cut: bool = False,
) -> Agent:
    """The agent, of tasks of `envs.wrappers.trial` whose own observation is a vector; learns from windows `[T+1, N]`.

    Args:
      networks: encoder, policy and critics.
      optimiser: an `agents.common.optimisers` chain for critics and encoder.
      policy_optimiser: another for the policy.
      latent: size of z.
      size: of the vector that the task shows.
      discount: γ.
      temperature: α.
      kl_cost: β.
      target_rate: τ.
      blind: z is 0, an ablation.
      cut: no gradient of the critics reaches the encoder, an ablation.
    """

    def nothing(lanes: int) -> Array:
        return jnp.zeros((lanes, latent))

    def init(key: Key, timestep: TimeStep) -> State:
        k_encoder, k_policy, k_critic = jax.random.split(key, 3)
        seen, z = timestep.observation, nothing(timestep.reward.shape[0])
        x, a, r = (seen[name] for name in ("observation", "last_action", "last_reward"))
        encoder = networks.encoder.init(k_encoder, jnp.concatenate([x, a, r, x], axis=-1))
        policy = networks.policy.init(k_policy, jnp.concatenate([x, z], axis=-1))
        critic = networks.critic.init(k_critic, jnp.concatenate([x, a, z], axis=-1))
        both = Critics(critic, encoder)
        learned = Learned(both, optimiser.init(both))
        return State(Learned(policy, policy_optimiser.init(policy)), learned, jax.tree.map(jnp.copy, critic))

    def begin(batch: int) -> Carry:
        return Carry(nothing(batch), Belief(nothing(batch), nothing(batch)), jnp.zeros((batch, size)))

    def act(actor: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        policy, encoder = actor
        k_latent, k_action = jax.random.split(key)
        seen = timestep.observation
        lift = lambda *parts: [x[None] for x in parts]  # noqa: E731
        transition = (carry.observation, seen["last_action"], seen["last_reward"], seen["observation"])
        new = jax.tree.map(lambda x: x[0], factors(networks.encoder, encoder, *lift(*transition)))
        counts, first = real(timestep)[:, None], timestep.first()[:, None]
        belief = jax.tree.map(lambda x, y: jnp.where(first, 0.0, x) + jnp.where(counts, y, 0.0), carry.belief, new)
        mean, std = gaussian(belief)
        drawn = mean + std * jax.random.normal(k_latent, mean.shape)
        z = jnp.where(seen["new_episode"] > 0, drawn, carry.latent)
        z = jnp.zeros_like(z) if blind else z
        distribution = jax.tree.map(lambda x: x[0], applied(networks.policy, policy, *lift(seen["observation"], z)))
        action = distribution.sample(k_action) if explore else distribution.mode()
        return action, Carry(z, belief, seen["observation"]), {}

    def embedded(params: Critics, key: Key, steps: Step) -> tuple[Array, Array]:
        """A sample of z `[T, N, latent]` for each transition, and the divergence of its belief from the prior."""
        k_share, k_keep, k_draw = jax.random.split(key, 3)
        seen, arrived = steps.timestep.observation, jax.tree.map(lambda x: x[1:], steps.timestep)
        x, reward = seen["observation"], arrived.observation["last_reward"]
        each = factors(networks.encoder, params.encoder, x[:-1], seen["last_action"][1:], reward, x[1:])
        share = jax.random.uniform(k_share, (1, reward.shape[1]), minval=0.5)
        kept = real(arrived) & (jax.random.uniform(k_keep, reward.shape[:2]) < share)
        trial = jnp.cumsum(arrived.first(), axis=0)
        belief = believed(each, kept, trial)
        mean, std = gaussian(belief)
        noise = jax.random.normal(k_draw, (2, *mean.shape[1:]))
        # One draw for all rows of a trial, of which a window has two at most unless it is longer than they are.
        z = mean + std * jnp.take_along_axis(noise, jnp.minimum(trial, 1)[..., None], axis=0)
        return (jnp.zeros_like(z) if blind else z), prior_kl(belief)

    def critic_loss(params: Critics, state: State, key: Key, steps: Step) -> tuple[Array, dict[str, Any]]:
        k_embed, k_action = jax.random.split(key)
        z, kl = embedded(params, k_embed, steps)
        z = jax.lax.stop_gradient(z) if cut else z
        fixed, mask = jax.lax.stop_gradient(z), real(jax.tree.map(lambda x: x[1:], steps.timestep))
        x, reward = steps.timestep.observation["observation"], steps.timestep.reward[1:]
        action, log_prob = applied(networks.policy, state.policy.params, x[1:], fixed).sample_and_log_prob(k_action)
        after = applied(networks.critic, state.target, x[1:], action, fixed)
        target = reward + discount * losses.soft_value(after, log_prob, temperature)
        q = applied(networks.critic, params.critic, x[:-1], steps.action[:-1], z)
        error = jax.lax.stop_gradient(target)[None] - q
        terms = {
            "value_loss": jnp.sum(losses.squared(error), axis=0),
            "q_mean": jnp.mean(q, axis=0),
            "td_error": jnp.mean(jnp.abs(error), axis=0),
            "latent_kl": kl,
        }
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        total = means["value_loss"] + kl_cost * means["latent_kl"]
        return total, {"loss": total, **means, "latent": fixed}

    def policy_loss(params: Any, critic: Any, key: Key, steps: Step, z: Array) -> tuple[Array, dict[str, Array]]:
        x, mask = steps.timestep.observation["observation"][:-1], real(jax.tree.map(lambda x: x[1:], steps.timestep))
        action, log_prob = applied(networks.policy, params, x, z).sample_and_log_prob(key)
        value = losses.soft_value(applied(networks.critic, critic, x, action, z), log_prob, temperature)
        terms = {"policy_loss": -value, "entropy": -log_prob}
        means = {name: parallel.masked_mean(term, mask) for name, term in terms.items()}
        return means["policy_loss"], means

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_critic, k_policy = (parallel.own_key(each) for each in jax.random.split(key))
        steps = sample.steps
        learned, metrics = descend(optimiser, critic_loss, state.critic, state, k_critic, steps)
        z = metrics.pop("latent")
        policy, more = descend(
            policy_optimiser, policy_loss, state.policy, learned.params.critic, k_policy, steps, z, part="policy_"
        )
        target = optax.incremental_update(learned.params.critic, state.target, target_rate)
        return State(policy, learned, target), Info({**metrics, **more})

    return Agent(init, lambda state: (state.policy.params, state.critic.params.encoder), begin, act, update)
