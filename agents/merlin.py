"""MERLIN: memory, reinforcement learning and inference network.

Wayne et al., "Unsupervised predictive memory in a goal-directed agent", arXiv:1803.10760, algorithm 1. A predictor χ
infers a state variable z_t and stores it; a policy θ reads what is stored. In a step, with reads before the write:

    p(z_t) = N(μᵖ, Σᵖ)(h_{t-1}, m_{t-1})                            prior
    q(z_t) = p + f(e_t, h_{t-1}, m_{t-1}, μᵖ, Σᵖ),   z_t ~ q        posterior, from the observation's code e_t
    h̃_t = rec(h̃_{t-1}, m̃_{t-1}, z̄_t),   m̃_t = read(M_{t-1}),   a_t ~ π(·|z̄_t, h̃_t, m̃_t)
    h_t = rec(h_{t-1}, z_t, a_t, m_{t-1}),   m_t = read(M_{t-1}),   M_t = write(M_{t-1}, z̄_t)

where a bar stops the gradient. χ descends the negative variational bound

    Σ_m -α_m ln p(o_t^m|z_t) + α_R ½(|R_t - V(z_t, ln π̄_t)|² + |R_t - V̄ - A(z_t, a_t)|²) + α_KL KL(q ‖ p)

and θ follows the policy gradient of advantages Â(λ) from V, with an entropy bonus. Neither gradient reaches the other's
parameters. R_t is the return of the window with V at its end. Whether the paper stops the gradient at the write is not
known; its group's later code does.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import advantages, descend
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, select, valid
from agents.common import measures
from agents.ppo import normalised
from envs import parallel
from networks import memory
from networks.controller import over_time
from networks.cores import outputs_of
from networks.distributions import Categorical
from networks.predictor import MemoryPolicy, Modality, Normal, Predictor


class State(NamedTuple):
    """What MERLIN learns: `{"predictor": χ, "policy": θ}`."""

    params: Any
    optimiser: Any


class Carry(NamedTuple):
    """What B lanes remember."""

    predictor: Any  # LSTM layers, h
    read: Array  # m
    policy: Any  # LSTM layers, h̃
    policy_read: Array  # m̃
    memory: Any  # a memory.Memory, within a window a memory.Window


class Seen(NamedTuple):
    """What a step is given, `[T, B, ...]` or `[B, ...]`."""

    code: Array
    noise: Array  # ε of z
    first: Array
    action: Any = ()  # where it is known


class Made(NamedTuple):
    """What a step makes of it."""

    action: Array
    z: Array
    prior: Normal
    shift: Normal  # what the posterior adds to the prior
    features: Array  # of the policy's head
    weights: Array  # [B, K, N], the predictor's reads


def named(observation: Tree) -> dict[str, Array]:
    """The observation as a dict, a bare array as its entry `observation`."""
    return observation if isinstance(observation, dict) else {"observation": observation}


def reconstruction_nll(modality: Modality, output: Array, x: Array) -> Array:
    """-ln p(x|z) of one entry of the observation, per step, `[...]`.

    Args:
      modality: of the entry.
      output: what its decoder gives.
      x: the entry as it was observed.
    """
    if modality.kind == "text":
        return losses.text_nll(output, x)
    target = modality.target(x)
    if modality.kind == "category":
        return losses.categorical_nll(output, target)
    kind = losses.unit_gaussian_nll if modality.kind == "vector" else losses.bernoulli_nll
    return kind(output, target, len(modality.shape))


def call(module: Any, params: Any, *args: Any, method: str) -> Any:
    """A method of a flax module."""
    return module.apply({"params": params}, *args, method=method)


def merlin(
    predictor: Predictor,
    policy: MemoryPolicy,
    optimiser: optax.GradientTransformation,
    *,
    scales: Mapping[str, float | Array],
    rows: int = 1350,
    discount: float | Array = 0.96,
    lambda_: float | Array = 0.9,
    entropy_cost: float | Array = 0.01,
    normalise: bool = True,
    retroactive: bool = True,
    write: bool = True,
    remember: bool = True,
) -> Agent:
    """The MERLIN agent; learns from `replay.on_policy()`, whose windows may span several episodes or part of one.

    A window is unrolled from the carry of its first row, which holds a memory; the other rows keep none.

    Args:
      predictor: χ.
      policy: θ, of the same `latent`.
      optimiser: `optimisers.apart(predictor=..., policy=...)`.
      scales: α of each modality of the predictor, "return" and "kl".
      rows: N of the memory.
      discount: γ, also of the retroactive update.
      lambda_: λ of the generalised advantage.
      entropy_cost: of the policy.
      normalise: normalise advantages in each window.
      retroactive: False writes no later values to earlier rows, an ablation.
      write: False writes nothing, an ablation.
      remember: False starts every step with fresh memory of every kind, an ablation.
    """
    names = {m.name for m in predictor.modalities} | {"return", "kl"}
    if scales.keys() != names:
        raise ValueError(f"scales: {sorted(scales)} must name {sorted(names)}")

    def begin(lanes: int) -> Carry:
        width = 2 * predictor.latent
        reads = jnp.zeros((lanes, predictor.keys * width)), jnp.zeros((lanes, policy.keys * width))
        layers = [tuple((jnp.zeros((lanes, n)),) * 2 for n in sizes) for sizes in (predictor.lstm, policy.lstm)]
        return Carry(layers[0], reads[0], layers[1], reads[1], memory.empty(lanes, rows, predictor.latent))

    def encode(params: Any, observation: Tree) -> Array:
        return call(predictor, params["predictor"], observation, method="encode")

    def step(base: tuple, carry: Carry, seen: Seen, choose: Callable[[Array, Seen], Array]) -> tuple[Carry, Made]:
        params, start = base
        chi, theta = params["predictor"], params["policy"]
        first = seen.first if remember else jnp.ones_like(seen.first)
        window = memory.reset(carry.memory, first)
        carry = select(first, jax.tree.map(jnp.zeros_like, carry._replace(memory=())), carry._replace(memory=()))
        now = memory.contents(start, window)
        z, prior, shift = call(
            predictor, chi, seen.code, outputs_of(carry.predictor), carry.read, seen.noise, method="infer"
        )
        fixed = jax.lax.stop_gradient(z)
        layers, policy_read, features = call(policy, theta, carry.policy, fixed, carry.policy_read, now, method="recur")
        action = choose(features, seen)
        h, *queries = call(predictor, chi, carry.predictor, z, action, carry.read, method="recur")
        read, weights = memory.read(now, *queries)
        if write:
            window = memory.write(window, fixed, weights, discount, retroactive)
        return Carry(h, read, layers, policy_read, window), Made(action, z, prior, shift, features, weights)

    def unroll(params: Any, carry: Carry, seen: Seen, choose: Callable[[Array, Seen], Array]) -> tuple[Carry, Made]:
        start = carry.memory.rows
        opened = carry._replace(memory=memory.open_window(carry.memory, len(seen.first)))
        body = lambda base, carry, seen: step(base, carry, seen, choose)  # noqa: E731
        after, made = over_time(body, (params, start), opened, seen)
        return after._replace(memory=memory.close_window(start, after.memory)), made

    def head(params: Any, features: Array) -> Categorical:
        return call(policy, params["policy"], features, method="head")

    def init(key: Key, timestep: TimeStep) -> State:
        k_predictor, k_policy = jax.random.split(key)
        lanes = timestep.reward.shape[0]
        carry, z = begin(lanes), jnp.zeros((lanes, predictor.latent))
        chi = predictor.init(k_predictor, named(timestep.observation), carry.predictor, carry.read, z, method="whole")
        theta = policy.init(k_policy, carry.policy, z, carry.policy_read, carry.memory.rows, method="whole")
        params = {"predictor": chi["params"], "policy": theta["params"]}
        return State(params, optimiser.init(params))

    def act(params: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_noise, k_action = jax.random.split(key)
        shape = (timestep.reward.shape[0], predictor.latent)
        noise = jax.random.normal(k_noise, shape) if explore else jnp.zeros(shape)

        def choose(features: Array, seen: Seen) -> Array:
            pi = head(params, features)
            return pi.sample(k_action) if explore else pi.mode()

        seen = Seen(encode(params, named(timestep.observation)), noise, timestep.first())
        after, made = unroll(params, carry, jax.tree.map(lambda x: x[None], seen), choose)
        return made.action[0], after, {"noise": noise}

    def loss(params: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        observation, first = named(steps.timestep.observation), steps.timestep.first()
        flat = lambda tree: jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), tree)  # noqa: E731
        folded = lambda tree: jax.tree.map(lambda x: x.reshape((*first.shape, *x.shape[1:])), tree)  # noqa: E731
        code = folded(encode(params, flat(observation)))
        carry = jax.tree.map(lambda x: x[0], steps.carry)
        seen = Seen(code, steps.extras["noise"], first, steps.action)
        _, made = unroll(params, carry, seen, lambda _, seen: seen.action)

        chi = params["predictor"]
        pi = head(params, made.features)
        log_policy = jax.lax.stop_gradient(jax.nn.log_softmax(pi.logits))
        value, action_advantage = call(predictor, chi, made.z, log_policy, steps.action, method="returns")
        outputs = folded(call(predictor, chi, flat(made.z), method="decode"))
        fixed = jax.lax.stop_gradient(value)
        settings = {"discount": discount, "lambda_": lambda_}
        advantage = advantages(steps, fixed, **settings)
        target = fixed[:-1] + advantages(steps, fixed, **{**settings, "lambda_": 1.0})

        real, every = valid(steps), jnp.ones(first[:-1].shape, bool)
        terms = {m.name: reconstruction_nll(m, outputs[m.name], observation[m.name])[:-1] for m in predictor.modalities}
        terms["kl"] = losses.residual_gaussian_kl(*made.shift, made.prior.log_var)[:-1]
        means = {name: parallel.masked_mean(term, every) for name, term in terms.items()}
        means["return"] = parallel.masked_mean(losses.return_nll(value[:-1], action_advantage[:-1], target), real)
        bound = losses.weighted(means, scales)

        advantage = normalised(advantage, real) if normalise else advantage
        entropy = parallel.masked_mean(pi.entropy()[:-1], real)
        surrogate = parallel.masked_mean(losses.policy_gradient(pi.log_prob(steps.action)[:-1], advantage), real)
        objective = surrogate - entropy_cost * entropy
        explained = measures.explained_variance(fixed[:-1], target, real)
        told = {"policy_loss": surrogate, "entropy": entropy, "explained_variance": explained}
        metrics = {"loss": bound + objective, "bound": bound, **told, **means}
        return bound + objective, metrics

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        state, metrics = descend(optimiser, loss, state, sample.steps)
        return state, Info(metrics)

    return Agent(init, lambda state: state.params, begin, act, update, lambda carry: carry)
