"""Dreamer, versions 1, 2 and 3: an actor and a critic that learn in the imagination of a latent world model.

Hafner et al., "Dream to control", arXiv:1912.01603; "Mastering Atari with discrete world models", arXiv:2010.02193;
"Mastering diverse domains through world models", arXiv:2301.04104. Windows of a replay are observed from the latent
state stored with the row before them, and what they become is stored back. From each of their states the model
imagines H rows, of which

    V_t = r_{t+1} + c_{t+1} [(1 - λ) v_{t+1} + λ V_{t+1}],    w_t = d_0 c_1 ... c_t

    actor:   Σ_t w_t [-ln π(a_t) sg((V_t - v_t) / max(1, S)) - η H(π)]        by REINFORCE (v2 where discrete, v3)
             Σ_t w_t [-V_t - η H(π)]                                          through the model (v1, v2 elsewhere)
    critic:  Σ_t w_t [-ln p(V_t) - β ln p(v'_t)]

with c the model's γ-discount, S the running range from the 5th to the 95th percentile of V (v3), v' the critic's moving
average (v3), and in v2 a critic that is copied now and then giving v. In v3 the critic also learns the returns of the
replayed rewards, λ-returns that bootstrap from the V imagined at each row. Losses of the model: `agents.world.dreams`.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import LAST, MID, Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import optimisers
from agents.world import dreams
from agents.world.dreams import Modelling, call, flat, imagine
from agents.world.latent_models import fresh
from agents.world.planning import Planner, nothing
from agents.world.scalars import Scalar
from envs import parallel
from envs.base import Discrete, Space, select
from networks.world import Latent, World


class Behaviour(NamedTuple):
    """How actor and critic learn from what is imagined; the defaults are those of v3."""

    gradient: Literal["reinforce", "dynamics"] = "reinforce"
    horizon: int = 15
    """H."""
    lambda_: float | Array = 0.95
    entropy_cost: float | Array = 3e-4
    """η."""
    normalise: bool = True
    """Divide advantages by the range of returns, where that is above 1."""
    range_decay: float = 0.99
    bootstrap: Literal["critic", "slow"] = "critic"
    """Whose values the returns are made of."""
    target_period: int = 1
    """Updates between moves of the slow critic."""
    target_rate: float | Array = 0.02
    slow_cost: float | Array = 1.0
    """β."""
    replay_cost: float | Array = 0.3
    """Weight of the critic's loss on replayed rewards; its gradient reaches the model."""
    starts: int = 0
    """Rows at the end of each window that are imagined from; 0 for all."""


class State(NamedTuple):
    """What Dreamer learns: `{"world", "actor", "critic"}`, and what follows."""

    params: Any
    slow: Any  # the critic's
    optimiser: Any
    range: Array  # [2], running percentiles of the returns
    updates: Array  # int32


class Carry(NamedTuple):
    """What B lanes remember."""

    state: Latent
    action: Array  # encoded, that was taken last
    plan: Any


def dreamer(
    world: World,
    actor: nn.Module,
    critic: nn.Module,
    optimiser: optax.GradientTransformation,
    *,
    actions: Space,
    modelling: Modelling,
    values: Scalar,
    behaviour: Behaviour,
    planner: Planner | None = None,
    noise: float | Array = 0.0,
    remember: bool = True,
    sampled: bool = True,
) -> Agent:
    """The agent; learns from `replay.uniform` of windows of two or more transitions, whose first row is context.

    Args:
      world: the model.
      actor: features -> a distribution of actions: discrete ones, or in [-1, 1].
      critic: features -> `values.outputs` numbers.
      optimiser: of `{"world", "actor", "critic"}`.
      actions: discrete, or a Box of [-1, 1].
      modelling: how the model learns.
      values: how the critic tells a value.
      behaviour: how actor and critic learn.
      planner: acts in the actor's place, on `agents.world.latent_models.latent_model`.
      noise: standard deviation of what is added to continuous actions that explore, 0.3 in v1.
      remember: False infers every state from its row alone, an ablation.
      sampled: False takes the likeliest of latents and imagined actions everywhere, which makes updates exact functions
        of their sample.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        k_world, k_actor, k_critic = jax.random.split(key, 3)
        features = world.rssm.begin(1).features
        params = {
            "world": fresh(world, actions, k_world, timestep),
            "actor": actor.init(k_actor, features)["params"],
            "critic": critic.init(k_critic, features)["params"],
        }
        slow = jax.tree.map(jnp.copy, params["critic"])
        return State(params, slow, optimiser.init(params), jnp.zeros(2), jnp.int32(0))

    def begin(lanes: int) -> Carry:
        plan = planner.begin(lanes) if planner else nothing(lanes)
        return Carry(world.rssm.begin(lanes), jnp.zeros((lanes, dreams.width(actions))), plan)

    def opened(timestep: TimeStep) -> Array:
        return timestep.first() if remember else jnp.ones_like(timestep.first())

    def act(params: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_latent, k_action = jax.random.split(key)
        code = call(world, params["world"], timestep.observation, method="encode")
        drawn = k_latent if sampled else None  # in evaluations too: policies know no latents but drawn ones
        seen = (carry.state, carry.action, code, opened(timestep), drawn)
        state, *_ = call(world, params["world"], *seen, method="observe")
        plan = carry.plan
        if planner:
            plan = select(timestep.first(), planner.begin(len(code)), plan)
            action, plan = planner.plan(params, k_action, plan, state)
        else:
            pi = call(actor, params["actor"], state.features)
            action = pi.sample(k_action) if explore else pi.mode()
            if explore and not isinstance(actions, Discrete):
                beside = noise * jax.random.normal(jax.random.fold_in(k_action, 1), action.shape)
                action = jnp.where(noise > 0, jnp.clip(action + beside, -1.0, 1.0), action)
        extras = {"h": state.h, "z": world.rssm.kind.packed(state.z)}
        return action, Carry(state, dreams.encoded(actions, action), plan), extras

    def behave(params: Any, state: State, key: Key | None, seen: Latent, steps: Step) -> tuple[Array, dict[str, Any]]:
        """The losses of actor and critic from states and rows `[T, N]`."""
        rows = behaviour.starts or len(steps.timestep.reward)
        seen, steps = jax.tree.map(lambda x: x[-rows:], (seen, steps))
        frozen, shape = jax.lax.stop_gradient(params["world"]), steps.timestep.reward.shape
        reinforce, discount = behaviour.gradient == "reinforce", modelling.discount

        def value(params: Any, features: Array) -> Array:
            return values.mean(call(critic, jax.lax.stop_gradient(params), features))

        acting = jax.lax.stop_gradient(params["actor"]) if reinforce else params["actor"]
        policy = lambda features: call(actor, acting, features)  # noqa: E731
        begun = jax.lax.stop_gradient(flat(seen))
        states, taken = imagine(world, frozen, key, begun, policy, actions, behaviour.horizon)
        features = states.features
        reward = modelling.rewards.mean(call(world, frozen, features[1:], method="reward"))
        going = dreams.discounts(world, frozen, features[1:])
        v = value(state.slow if behaviour.bootstrap == "slow" else params["critic"], features)
        over_lanes = jax.vmap(losses.lambda_returns, (1, 1, 1, 1, None, None), 1)
        within = jnp.full(v.shape, MID)
        returns = over_lanes(reward, going, v[1:], within, behaviour.lambda_, False)
        weight = losses.dream_weights(steps.timestep.discount.reshape(-1), going)

        reach = parallel.mean(losses.percentile_range(returns))
        reach = behaviour.range_decay * state.range + (1 - behaviour.range_decay) * reach
        scale = jnp.maximum(1.0, reach[1] - reach[0]) if behaviour.normalise else 1.0
        fixed = jax.lax.stop_gradient(features[:-1])
        pi = call(actor, params["actor"], fixed)
        entropy = pi.entropy()
        advantage = (returns - v[:-1]) / scale
        each = losses.policy_gradient(pi.log_prob(taken), advantage) if reinforce else -returns / scale
        policy_loss = jnp.mean(weight * (each - behaviour.entropy_cost * entropy))

        output = call(critic, params["critic"], fixed)
        towards = values.nll(output, returns)
        if behaviour.bootstrap == "critic":
            towards = towards + behaviour.slow_cost * values.nll(output, value(state.slow, fixed))
        value_loss = jnp.mean(weight * towards)

        # What was replayed: γ d and r of rows 1, ..., and bootstraps from the returns imagined at them.
        step_type, r, d, _ = steps.timestep
        boot = returns[0].reshape(shape)
        real = over_lanes(r[1:], discount * d[1:], boot[1:], step_type, behaviour.lambda_, True)
        before = seen.features[:-1]
        output = call(critic, params["critic"], before)
        each = values.nll(output, real) + behaviour.slow_cost * values.nll(output, value(state.slow, before))
        replayed = parallel.masked_mean(each, valid(steps) & (step_type[:-1] != LAST))
        told = {
            "policy_loss": policy_loss,
            "value_loss": value_loss,
            "replay_value_loss": replayed,
            "entropy": jnp.mean(entropy),
            "imagined_return": jnp.mean(returns),
            "return_range": reach[1] - reach[0],
        }
        return policy_loss + value_loss + behaviour.replay_cost * replayed, told | {"range": reach}

    def loss(params: Any, state: State, key: Key | None, steps: Step) -> tuple[Array, tuple[Latent, Array, Any]]:
        k_seen, k_dream = dreams.split(key, 2)
        stored = jax.tree.map(lambda x: x[0], steps.extras)
        context = Latent(stored["h"], world.rssm.kind.unpacked(stored["z"]))
        done = dreams.encoded(actions, jax.tree.map(lambda x: x[:-1], steps.action))
        rows = jax.tree.map(lambda x: x[1:], steps)
        place = (k_seen, context, done, rows.timestep.observation, opened(rows.timestep))
        seen = dreams.observe(world, params["world"], *place)
        total, told = dreams.model_loss(world, params["world"], modelling, seen, rows.timestep)
        more, behaved = behave(params, state, k_dream, seen.state, rows)
        reach = behaved.pop("range")
        return total + more, (seen.state, reach, {"loss": total + more, **told, **behaved})

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        descent = jax.grad(loss, has_aux=True)
        drawn = key if sampled else None
        gradients, (seen, reach, metrics) = descent(state.params, state, drawn, sample.steps)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        count = state.updates + 1
        rate = jnp.where(count % behaviour.target_period == 0, behaviour.target_rate, 0.0)
        slow = optax.incremental_update(params["critic"], state.slow, rate)
        new = {"h": seen.h, "z": world.rssm.kind.packed(seen.z)}
        extras = jax.tree.map(lambda old, x: jnp.concatenate([old[:1], x]), sample.steps.extras, new)
        return State(params, slow, opt_state, reach, count), Info({**metrics, **told}, rewrite=extras)

    return Agent(init, lambda state: state.params, begin, act, update)
