"""Model-agnostic meta-learning of policies, and its family.

Finn, Abbeel and Levine, "Model-agnostic meta-learning for fast adaptation of deep networks", ICML 2017. Lanes are
tasks: each plays rollouts D_i with θ, takes a gradient step of its own, and plays again with what it has become,

    θ_i' = θ - α ∇ L(θ; D_i),            min_θ  Σ_i L'(θ_i'; D_i')

and θ learns from the rollouts after the step, through it. L is one of three surrogates, whose gradients are the same
and whose second derivatives are not: "plain", -ln π Â, as in the paper's code, whose Hessian is biased; "lvc",
-π/π_old Â, low in variance (Rothfuss et al., "ProMP: Proximal meta-policy search", ICLR 2019); "dice", unbiased
(Foerster et al., 2018). L' is PPO's clipped surrogate in some epochs of Adam, with a penalty on KL(π_old ‖ π_θ) before
the step, which is ProMP's, or TRPO's one step under a bound on the KL after it. E-MAML (Stadie et al., "Some
considerations on learning to explore via meta-reinforcement learning", 2018) also credits what was played before the
step with the returns after it. Any other agent's loss of a policy can stand for L and for L'.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.common import optimisers
from agents.common.linear_baseline import Rollouts, rollouts
from agents.trpo import Region, natural_step, search
from envs import parallel
from networks.base import Network

Surrogate = Literal["plain", "lvc", "dice"]
Loss = Callable[[Any, Rollouts], Array]
"""An agent's own loss per step: `(distribution [T], rollouts [T]) -> [T]`, whose mean is taken within episodes."""


class Inner(NamedTuple):
    """How a task's own steps are taken."""

    rate: float | Array = 0.5  # α
    steps: int = 1
    surrogate: Surrogate | Loss = "plain"  # what they descend on
    first_order: bool = False  # no derivative is taken of the steps' gradients
    discount: float | Array = 0.99
    lambda_: float | Array = 1.0


class Outer(NamedTuple):
    """How the parameters that tasks begin with are learned."""

    kind: Literal["ppo", "trpo"] = "ppo"
    epochs: int = 5  # of PPO
    clip: float | Array = 0.3
    kl_cost: float | Array = 0.0  # of leaving the policy that played before the steps
    exploration: float | Array = 0.0  # weight of E-MAML's credit
    pretrain: bool = False  # learn from the rollouts before the steps alone, as if there were none
    region: Region = Region()  # of TRPO
    surrogate: Loss | None = None  # in place of the clipped one of PPO and the plain one of TRPO


class State(NamedTuple):
    """What is learned, and where the trial is."""

    params: Any
    optimiser: Any
    adapted: Any  # [N, ...], what the lanes play with
    seen: Rollouts  # [steps, N, T, ...], before each step
    phase: Array  # int32, steps taken in this trial
    gains: Array  # [steps + 1], the newest mean returns after so many steps
    told: dict[str, Array]


def policy_of(network: Network, params: Any, observation: Tree) -> Any:
    """The distribution `[T]` at observations `[T, ...]`, of a network without memory."""
    lift = lambda x: jax.tree.map(lambda leaf: leaf[:, None], x)  # noqa: E731
    rows = jax.tree.leaves(observation)[0].shape[0]
    output, _ = network.apply(params, None, (), lift(observation), jnp.zeros((rows, 1), bool))
    return jax.tree.map(lambda x: x[:, 0], output)


def masked(each: Array, rows: Rollouts) -> Array:
    """The mean of `[T]` over transitions within episodes."""
    return jnp.sum(jnp.where(rows.mask, each, 0.0)) / jnp.maximum(jnp.sum(rows.mask), 1)


def inner_loss(network: Network, inner: Inner) -> Callable[[Any, Rollouts], Array]:
    """L of the rollouts `[T]` of one task."""

    def loss(params: Any, rows: Rollouts) -> Array:
        policy = policy_of(network, params, rows.observation)
        if callable(inner.surrogate):
            return masked(inner.surrogate(policy, rows), rows)
        log_prob = policy.log_prob(rows.action)
        if inner.surrogate == "dice":
            scaled = rows.reward / rows.spread, rows.baseline / rows.spread
            return masked(losses.dice(log_prob, *scaled, inner.discount, rows.step_type), rows)
        if inner.surrogate == "lvc":
            return masked(losses.surrogate(log_prob, rows.log_prob, rows.advantage), rows)
        return masked(losses.policy_gradient(log_prob, rows.advantage), rows)

    return loss


def adapting(network: Network, inner: Inner) -> Callable[..., Any]:
    """`(params, rollouts [T], rate) -> params`: the step of one task."""
    loss = inner_loss(network, inner)

    def adapt(params: Any, rows: Rollouts, rate: float | Array = inner.rate) -> Any:
        gradient = jax.grad(loss)(params, rows)
        gradient = jax.lax.stop_gradient(gradient) if inner.first_order else gradient
        return jax.tree.map(lambda p, g: p - rate * g, params, gradient)

    return adapt


def objective(network: Network, inner: Inner, outer: Outer) -> Callable[..., tuple[Array, Array]]:
    """`(params, old params, seen [steps, N, T], after [N, T]) -> (loss, KL of the policies after the steps)`."""
    adapt = adapting(network, inner)

    def of_task(params: Any, old: Any, seen: Rollouts, after: Rollouts, credit: Array) -> tuple[Array, Array]:
        total = jnp.float32(0)
        rows = jax.tree.map(lambda x: x[0], seen)
        if outer.pretrain:
            after = rows
        else:
            first = policy_of(network, params, rows.observation).log_prob(rows.action)
            total += outer.exploration * masked(losses.surrogate(first, rows.log_prob, credit), rows)
            for k in range(inner.steps):
                rows = jax.tree.map(lambda x, k=k: x[k], seen)
                was, is_now = (policy_of(network, each, rows.observation) for each in (old, params))
                total += outer.kl_cost * masked(jax.lax.stop_gradient(was).kl(is_now), rows)
                old, params = jax.lax.stop_gradient(adapt(old, rows)), adapt(params, rows)
        was, is_now = (policy_of(network, each, after.observation) for each in (old, params))
        log_prob = is_now.log_prob(after.action)
        if outer.surrogate is not None:
            each = outer.surrogate(is_now, after)
        elif outer.kind == "ppo":
            each = losses.clipped_surrogate(log_prob, after.log_prob, after.advantage, outer.clip)
        else:
            each = losses.surrogate(log_prob, after.log_prob, after.advantage)
        return total + masked(each, after), masked(jax.lax.stop_gradient(was).kl(is_now), after)

    def loss(params: Any, old: Any, seen: Rollouts, after: Rollouts) -> tuple[Array, Array]:
        apart = after.gain - parallel.mean(jnp.mean(after.gain))
        credit = apart / (jnp.sqrt(parallel.mean(jnp.mean(jnp.square(apart)))) + 1e-6)
        each = jax.vmap(of_task, in_axes=(None, None, 1, 0, 0))(params, old, seen, after, credit)
        return jax.tree.map(jnp.mean, each)

    return loss


def maml(
    network: Network,
    optimiser: optax.GradientTransformation,
    length: int,
    inner: Inner = Inner(),  # noqa: B008
    outer: Outer = Outer(),  # noqa: B008
) -> Agent:
    """The agent; learns from `replay.on_policy(length)`, of lanes whose tasks change after `inner.steps + 1` windows.

    It acts with what each lane has become while it learns, and with the parameters that all begin with otherwise.

    Args:
      network: observation -> distribution, without memory.
      optimiser: an `agents.common.optimisers` chain; unused by TRPO.
      length: T, rows of a window, which holds whole episodes.
      inner: the tasks' own steps.
      outer: what is learned through them.
    """
    adapt, loss = adapting(network, inner), objective(network, inner, outer)
    names = ("loss", "kl", "gradient_norm", *(["learning_rate"] if outer.kind == "ppo" else ["fraction"]))

    def everyone(params: Any, lanes: int) -> Any:
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (lanes, *x.shape)), params)

    def init(key: Key, timestep: TimeStep) -> State:
        params, lanes = network.init(key, timestep.observation), timestep.reward.shape[0]

        def example() -> Rollouts:
            action = policy_of(network, params, timestep.observation).sample(key)
            row = Step(timestep, action, {"log_prob": jnp.zeros(lanes)})
            window = jax.tree.map(lambda x: jnp.broadcast_to(x, (length + 1, *x.shape)), row)
            return rollouts(window, inner.discount, inner.lambda_)

        shapes = jax.eval_shape(example)
        seen = jax.tree.map(lambda x: jnp.zeros((inner.steps, *x.shape), x.dtype), shapes)
        told = {name: jnp.float32(0) for name in names}
        gains = jnp.zeros(inner.steps + 1)
        return State(params, optimiser.init(params), everyone(params, lanes), seen, jnp.int32(0), gains, told)

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        params, adapted = actor
        if not explore:
            return policy_of(network, params, timestep.observation).mode(), carry, {}

        def one(params: Any, key: Key, observation: Tree) -> tuple[Tree, Array]:
            policy = policy_of(network, params, jax.tree.map(lambda x: x[None], observation))
            return jax.tree.map(lambda x: x[0], policy.sample_and_log_prob(key))

        keys = jax.random.split(key, timestep.reward.shape[0])
        action, log_prob = jax.vmap(one)(adapted, keys, timestep.observation)
        return action, carry, {"log_prob": log_prob}

    def descend(learned: tuple, old: Any, seen: Rollouts, after: Rollouts) -> tuple:
        params, opt_state, _ = learned
        (value, kl), gradient = jax.value_and_grad(loss, has_aux=True)(params, old, seen, after)
        params, opt_state, told = optimisers.step(optimiser, gradient, opt_state, params, "")
        found = {**dict.fromkeys(names, 0.0), **parallel.mean({"loss": value, "kl": kl}), **told}
        return params, opt_state, {name: jnp.asarray(found[name], jnp.float32) for name in names}

    def constrained(learned: tuple, old: Any, seen: Rollouts, after: Rollouts) -> tuple:
        params, opt_state, told = learned
        at, tree = ravel_pytree(params)
        of = lambda vector: loss(tree(vector), old, seen, after)  # noqa: E731
        (before, _), gradient = parallel.mean(jax.value_and_grad(of, has_aux=True)(at))
        size: Any = {
            "radius": outer.region.radius,
            "damping": outer.region.damping,
            "iterations": outer.region.iterations,
        }
        step = natural_step(-gradient, lambda vector: of(vector)[1], at, **size)
        taken, found = search(lambda fraction: parallel.mean(of(at + fraction * step)), before, outer.region)
        norm = jnp.linalg.norm(gradient)
        new = {"loss": before, "kl": found["kl"], "gradient_norm": norm, "fraction": taken}
        return tree(at + taken * step), opt_state, {**told, **new}

    trips, move = (outer.epochs, descend) if outer.kind == "ppo" else (1, constrained)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        rows = rollouts(sample.steps, inner.discount, inner.lambda_)
        learns = state.phase == inner.steps
        place = jnp.minimum(state.phase, inner.steps - 1)
        seen = jax.tree.map(lambda xs, x: jnp.where(learns, xs, xs.at[place].set(x)), state.seen, rows)
        # A loop of no trips, rather than a condition, is left out in runs side by side as well, which are in step.
        begun = (state.params, state.optimiser, state.told)
        params, opt_state, told = jax.lax.fori_loop(
            0, jnp.where(learns, trips, 0), lambda _, learned: move(learned, state.params, seen, rows), begun
        )
        stepped = jax.vmap(adapt)(state.adapted, rows)
        fresh = everyone(params, rows.gain.shape[0])
        adapted = jax.tree.map(lambda new, old: jnp.where(learns, new, old), fresh, stepped)
        gains = state.gains.at[state.phase].set(parallel.mean(jnp.mean(rows.gain)))
        phase = jnp.where(learns, 0, state.phase + 1).astype(jnp.int32)
        returns = {f"return_{k}": gains[k] for k in range(inner.steps + 1)}
        after = State(params, opt_state, adapted, seen, phase, gains, told)
        return after, Info({**told, **returns, "gain": gains[-1] - gains[0]})

    return Agent(init, lambda state: (state.params, state.adapted), lambda batch: (), act, update)
