"""World Models: a controller on what an autoencoder sees and a recurrent model remembers, also trained in its dreams.

Ha and Schmidhuber, "Recurrent world models facilitate policy evolution", NeurIPS 2018 (arXiv:1803.10122). V, a
variational autoencoder, makes z of an observation; M, an LSTM with a mixture density head, foretells the next z; and C
is linear in z and M's memory h,

    V:  w Σ (x - x̂)² + max(KL, ½ Z)      M:  -ln Σ_k π_k N(z'; μ_k, σ_k), mean over Z, and the reward's and end's
    C:  a_t = tanh(W [z_t, h_t] + b),    h_{t+1} = LSTM(h_t, z_t, a_t)

searched for by CMA-ES, in the task (`remembering` around that agent) or in M's dreams (`dreamt`), where z' is drawn
with a temperature τ: logits / τ and √τ σ. A dream that is too certain is one whose faults a controller learns to
exploit. The paper's M tells no reward, because its tasks pay for each step that is survived. Its V sees pictures of
12,288 numbers in [0, 1], and w is 1; the few numbers of a vector are standardised and weigh more, since V would rather
pay for their errors than for a KL beyond the free ½ Z.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Key, Step, TimeStep, Tree, batch_of, select, valid
from agents.common import optimisers
from agents.world.dreams import call, encoded, flat, reconstruction, width
from envs import parallel
from envs.base import Discrete, Space
from networks.base import Network
from networks.world import VAE, MixtureMemory


class Parts(NamedTuple):
    """V and M, and what each has learned."""

    vision: VAE
    memory: MixtureMemory
    params: Any
    """`{"vision", "memory"}`."""


class State(NamedTuple):
    """One of the two as it is learned."""

    params: Any
    optimiser: Any


def fresh(vision: VAE, memory: MixtureMemory, actions: Space, key: Key, observation: Tree) -> dict[str, Any]:
    """Parameters of both, for observations like `[B, ...]`."""
    k_vision, k_memory = jax.random.split(key)
    row = jnp.zeros((1, 1, vision.latent)), jnp.zeros((1, 1, width(actions))), jnp.ones((1, 1), bool)
    return {
        "vision": vision.init(k_vision, observation, method="whole")["params"],
        "memory": memory.init(k_memory, memory.begin(1), *row)["params"],
    }


def vision_loss(
    vision: VAE, params: Any, key: Key, observation: Tree, weight: float | Array = 100.0
) -> tuple[Array, dict[str, Array]]:
    """V's loss on observations `[N, ...]`, and its terms; `weight` is the w of vectors."""
    q = call(vision, params, observation, method="encode")
    made = call(vision, params, q.sample(key), method="decode")
    seen = call(vision, params, observation, method="scaled")
    weights = {m.name: weight if m.kind == "vector" else 1.0 for m in vision.modalities}
    each = [reconstruction(m, made[m.name], seen[m.name], False, weights[m.name]) for m in vision.modalities]
    error = parallel.mean(jnp.mean(sum(each[1:], start=each[0])))
    kl = losses.gaussian_kl(q.mean, q.log_var, jnp.zeros_like(q.mean), jnp.zeros_like(q.log_var))
    total = error + jnp.mean(jnp.maximum(kl, 0.5 * vision.latent))
    return total, {"vision_loss": total, "reconstruction": error, "kl": jnp.mean(kl)}


def memory_loss(
    vision: VAE,
    seen: Any,
    memory: MixtureMemory,
    params: Any,
    actions: Space,
    key: Key,
    steps: Step,
    ends: float | Array = 10.0,
) -> tuple[Array, dict[str, Array]]:
    """M's loss on windows `[T+1, N]` that begin with nothing remembered; `seen` are V's parameters, z is drawn anew.

    The loss of rows with which an episode ends by the rules has the factor `ends`, 10 in the authors' code
    (doomrnn/doomrnn.py), because there are few.
    """
    shape = steps.timestep.reward.shape
    z = call(vision, seen, flat(steps.timestep.observation), method="encode").sample(key)
    z = jax.lax.stop_gradient(z).reshape((*shape, -1))
    first = steps.timestep.first()[:-1].at[0].set(True)
    done = encoded(actions, jax.tree.map(lambda x: x[:-1], steps.action))
    _, told = call(memory, params, memory.begin(shape[1]), z[:-1], done, first)
    mixture, goes_on = told.z, steps.timestep.discount[1:]
    terms = {
        "mixture_loss": jnp.mean(losses.mixture_nll(mixture.logits, mixture.mean, mixture.log_std, z[1:]), -1),
        "reward_loss": losses.squared(told.reward - steps.timestep.reward[1:]),
        "end_loss": losses.bernoulli_nll(told.going, goes_on, 0) * (goes_on + ends * (1 - goes_on)),
    }
    means = {name: parallel.masked_mean(x, valid(steps)) for name, x in terms.items()}
    total = sum(means.values(), start=jnp.zeros(()))
    return total, {"memory_loss": total, **means}


def descended(
    loss: Callable[..., tuple[Array, Any]], optimiser: optax.GradientTransformation, state: State, *args: Any
) -> tuple[State, dict[str, Array]]:
    """One step down `loss(params, *args)`."""
    gradients, told = jax.grad(loss, has_aux=True)(state.params, *args)
    params, opt_state, _ = optimisers.step(optimiser, gradients, state.optimiser, state.params)
    return State(params, opt_state), told


def features(z: Array, h: Array, blind: bool) -> Array:
    """What the controller reads, `[N, Z + H]`, or without the memory `[N, Z]`."""
    return z if blind else jnp.concatenate([z, h], -1)


class Carry(NamedTuple):
    """What B lanes remember."""

    inner: Any
    memory: tuple[Array, Array]


def remembering(agent: Agent, world: Parts, actions: Space, blind: bool = False) -> Agent:
    """The agent, which sees z and h in place of observations, of frozen V and M.

    Args:
      agent: learns from nothing but what it acted with and the returns of episodes, as `agents.cma_es`.
      world: V and M.
      actions: of the agent: discrete, or a Box of [-1, 1].
      blind: withhold h, an ablation.
    """
    vision, memory, params = world

    def seen(timestep: TimeStep, h: Array) -> tuple[Array, TimeStep]:
        z = call(vision, params["vision"], timestep.observation, method="encode").mean
        return z, timestep._replace(observation=features(z, h, blind))

    def init(key: Key, timestep: TimeStep) -> Any:
        return agent.init(key, seen(timestep, memory.begin(batch_of(timestep))[1])[1])

    def begin(lanes: int) -> Carry:
        return Carry(agent.begin(lanes), memory.begin(lanes))

    def act(actor: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Any, Carry, Any]:
        lanes = batch_of(timestep)
        before = select(timestep.first(), memory.begin(lanes), carry.memory)
        z, shown = seen(timestep, before[1])
        action, inner, extras = agent.act(actor, key, carry.inner, shown, explore)
        row = (z[None], encoded(actions, action)[None], jnp.zeros((1, lanes), bool))
        after, _ = call(memory, params["memory"], before, *row)
        return action, Carry(inner, after), extras

    return agent._replace(init=init, begin=begin, act=act, stored=lambda carry: agent.stored(carry.inner))


def dreamt(
    world: Parts,
    policy: Network,
    unravel: Callable[[Array], Any],
    actions: Space,
    key: Key,
    starts: Array,
    candidates: Array,
    *,
    steps: int,
    temperature: float | Array = 1.15,
    blind: bool = False,
) -> Array:
    """Mean returns `[P]` of controllers in M's dreams.

    Args:
      world: V and M.
      policy: from features to an action in [-1, 1], or to preferences where actions are discrete.
      unravel: from a candidate to the policy's parameters.
      actions: as for `remembering`.
      key: of the dreams.
      starts: z of rows that open episodes, `[E, Z]`: each candidate dreams from all of them.
      candidates: `[P, n]`.
      steps: after which a dream ends.
      temperature: τ.
      blind: withhold h from the controllers.
    """
    episodes, memory = len(starts), world.memory
    params = jax.vmap(unravel)(candidates)

    def choose(params: Any, x: Array) -> Array:
        output, _ = policy.apply(params, None, (), x[None], jnp.zeros((1, episodes), bool))
        return output[0]

    def step(carry: tuple, key: Key) -> tuple[tuple, Array]:
        z, layers, going = carry  # [P, E, ...]
        chosen = jax.vmap(choose)(params, features(z, layers[1], blind))
        action = jnp.argmax(chosen, -1) if isinstance(actions, Discrete) else chosen
        now, done, before = flat((z, encoded(actions, action), layers))
        opened = jnp.zeros((1, len(now)), bool)
        after, told = call(memory, world.params["memory"], before, now[None], done[None], opened)
        back = lambda x: x.reshape((*z.shape[:2], *x.shape[1:]))  # noqa: E731
        told = jax.tree.map(lambda x: back(x[0]), told)
        paid = going * told.reward
        going = going * (told.going > 0)
        return (told.z.sample(key, temperature), jax.tree.map(back, after), going), paid

    shape = (len(candidates), episodes)
    begun = jnp.broadcast_to(starts[None], (*shape, starts.shape[-1]))
    layers = jax.tree.map(lambda x: x.reshape((*shape, -1)), memory.begin(shape[0] * episodes))
    _, paid = jax.lax.scan(step, (begun, layers, jnp.ones(shape)), jax.random.split(key, steps))
    return jnp.mean(jnp.sum(paid, 0), -1)
