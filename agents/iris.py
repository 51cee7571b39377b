"""IRIS: an actor-critic that learns in what a transformer imagines, over tokens of frames.

Micheli, Alonso and Fleuret, "Transformers are sample-efficient world models", ICLR 2023. Each update

1. fits the tokeniser, if it is learned: E[‖x - x̂‖²] + ‖sg z - e‖² + ‖z - sg e‖²;
2. fits the transformer to windows: cross-entropies of the next token, of the sign of the reward and of the end;
3. goes on from frames of the windows for H steps, tokens drawn from the transformer and actions from the policy, and
   has the actor-critic (`agents.a2c`) learn from that: -Σ log π(a) sg[G^λ - v] + c_v (G^λ - v)² - c_e H(π).

The actor-critic sees frames as the tokens tell them, when it acts too. Rewards are -1, 0 or 1. The paper's perceptual
loss is left out, since it needs a network that was learned elsewhere.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c, losses
from agents.base import FIRST, LAST, MID, Agent, Array, Info, Key, Sample, Step, TimeStep, Tree, valid
from agents.common import optimisers
from envs import keys, parallel
from networks.base import Network
from networks.token_model import TokenModel
from networks.tokens import Tokeniser


class State(NamedTuple):
    """What is learned: parameters by "policy", "model" and, if it is learned, "tokeniser"."""

    params: Any
    optimiser: Any
    updates: Array  # int32


def foretold(module: TokenModel, params: Any, name: str, *args: Any) -> Any:
    """A method of the transformer."""
    return module.apply({"params": params}, *args, method=name)


def model_loss(
    module: TokenModel, params: Any, tokens: Array, steps: Step
) -> tuple[dict[str, Array], dict[str, Array], Array]:
    """Losses of windows, how often the likeliest is right, and which transitions count; all `[T, N]`.

    Args:
      module: the transformer.
      params: its parameters.
      tokens: of the frames, `[T+1, N, L]`.
      steps: the windows, `[T+1, N]`.
    """
    frames, actions = jnp.swapaxes(tokens, 0, 1), jnp.swapaxes(steps.action, 0, 1)
    out = foretold(module, params, "__call__", frames, actions)
    out = jax.tree.map(lambda x: jnp.moveaxis(x, 0, 1), out)  # [T+1, N, L + 1, ...]
    # The action tells the first token of the frame after it, and in that frame each token the next one.
    token = jnp.concatenate([out.token[:-1, :, -1:], out.token[1:, :, :-2]], axis=2)
    reward, end = out.reward[:-1, :, -1], out.end[:-1, :, -1]
    sign = (jnp.sign(steps.timestep.reward[1:]) + 1).astype(jnp.int32)
    ended = (steps.timestep.discount[1:] == 0).astype(jnp.int32)

    def loss(logits: Array, kind: Array) -> Array:
        return losses.categorical_nll(logits, jax.nn.one_hot(kind, logits.shape[-1]))

    each = {
        "token_loss": jnp.mean(loss(token, tokens[1:]), -1),
        "reward_sign_loss": loss(reward, sign),
        "end_loss": loss(end, ended),
    }
    right = {
        "token_accuracy": jnp.mean(jnp.argmax(token, -1) == tokens[1:], -1),
        "reward_accuracy": (jnp.argmax(reward, -1) == sign).astype(jnp.float32),
    }
    return each, right, jnp.cumprod(valid(steps), axis=0)


def iris(
    tokeniser: Tokeniser,
    module: TokenModel,
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    horizon: int = 5,
    starts: int = 32,
    warmup: int | Array = 0,
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.95,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
) -> Agent:
    """The agent, for a replay of windows of T transitions.

    Args:
      tokeniser: of `networks.tokens`.
      module: the transformer, for sequences of `horizon` + 1 steps and of T + 1.
      network: image -> (distribution, value), feed-forward.
      optimiser: an `agents.common.optimisers.apart` chain of "policy", "model" and, if it is learned, "tokeniser".
      horizon: H.
      starts: imagined trajectories of an update, which begin at frames of its windows.
      warmup: updates before the actor-critic believes the model.
      discount: γ.
      lambda_: λ.
      value_cost: c_v.
      entropy_cost: c_e.
    """
    objective = a2c.objective(
        network, discount=discount, lambda_=lambda_, value_cost=value_cost, entropy_cost=entropy_cost
    )
    inner = a2c.acting(network)

    def coder(params: Any) -> Any:
        return params.get("tokeniser", ())

    def init(key: Key, timestep: TimeStep) -> State:
        k_policy, k_model, k_tokens = jax.random.split(key, 3)
        image, lanes = timestep.observation.astype(jnp.float32), timestep.reward.shape[0]
        frames = jnp.zeros((lanes, 1, tokeniser.number), jnp.int32)
        params = {
            "policy": network.init(k_policy, image),
            "model": module.init(k_model, frames, jnp.zeros((lanes, 1), jnp.int32))["params"],
        }
        if tokeniser.coded is not None:
            params["tokeniser"] = tokeniser.init(k_tokens)
        return State(params, optimiser.init(params), jnp.int32(0))

    def as_told(params: Any, observation: Tree) -> Array:
        return tokeniser.decode(coder(params), tokeniser.encode(coder(params), observation))

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        seen = timestep._replace(observation=as_told(params, timestep.observation))
        action, carry, _ = inner(params["policy"], key if explore else keys.key(0), carry, seen, explore)
        return action, carry, {}

    def imagined(params: Any, key: Key, tokens: Array, lost: Array) -> Step:
        """Steps `[H+1, starts]` from frames `tokens[starts, L]`; nothing is learned of those that are `lost`."""
        lanes = tokens.shape[0]
        call = lambda name, *args: foretold(module, params["model"], name, *args)  # noqa: E731
        _, cache = call("seen", module.fresh(lanes), tokens)

        def look(tokens: Array, kind: Array, reward: Array, discount: Array) -> TimeStep:
            return TimeStep(kind.astype(jnp.int8), reward, discount, tokeniser.decode(coder(params), tokens))

        def step(carry: tuple, key: Key) -> tuple[tuple, Step]:
            cache, row, over = carry
            k_act, k_reward, k_end, k_first, k_rest = jax.random.split(key, 5)
            action, _, extras = inner(params["policy"], k_act, (), row, True)
            said, cache = call("done", cache, action)
            reward = jax.random.categorical(k_reward, said.reward[:, 0]).astype(jnp.float32) - 1
            ended = jax.random.categorical(k_end, said.end[:, 0]) == 1
            first = jax.random.categorical(k_first, said.token[:, 0]).astype(jnp.int32)

            def go_on(carry: tuple, key: Key) -> tuple[tuple, Array]:
                cache, token = carry
                said, cache = call("seen", cache, token[:, None])
                after = jax.random.categorical(key, said.token[:, 0]).astype(jnp.int32)
                return (cache, after), token

            split = jax.random.split(k_rest, module.number)
            (cache, _), after = jax.lax.scan(go_on, (cache, first), split)
            after = jnp.swapaxes(after, 0, 1)
            # What leads into a FIRST row is learned from by nobody.
            kind = jnp.where(over, FIRST, jnp.where(ended, LAST, MID))
            arrived = look(after, kind, reward, jnp.where(ended, 0.0, 1.0))
            return (cache, arrived, over | ended), Step(row, action, extras)

        opening = look(tokens, jnp.full(lanes, MID), jnp.zeros(lanes), jnp.ones(lanes))
        (_, last, _), rows = jax.lax.scan(step, (cache, opening, lost), jax.random.split(key, horizon))
        closing = Step(last, rows.action[-1], jax.tree.map(lambda x: x[-1], rows.extras))
        return jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), rows, closing)

    def loss(params: Any, state: State, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        k_start, k_imagine, k_policy = jax.random.split(key, 3)
        rows, lanes = steps.timestep.reward.shape
        flat = steps.timestep.observation.reshape((rows * lanes, *steps.timestep.observation.shape[2:]))
        tokens = tokeniser.encode(coder(params), flat).reshape((rows, lanes, -1))
        each, right, counts = model_loss(module, params["model"], tokens, steps)
        means = {name: parallel.masked_mean(x, counts) for name, x in (each | right).items()}
        total = means["token_loss"] + means["reward_sign_loss"] + means["end_loss"]
        if tokeniser.coded is not None:
            coded = tokeniser.coded(params["tokeniser"], flat)
            means["told_loss"] = jnp.mean(jnp.square(coded.told - coded.patches))
            means["code_loss"] = jnp.mean(losses.code_loss(coded.latent, coded.code))
            total = total + means["told_loss"] + means["code_loss"]
        which = jax.random.randint(k_start, (starts,), 0, rows * lanes)
        lost = (steps.timestep.step_type.reshape(-1) == LAST) | (state.updates < warmup)
        made = imagined(
            jax.lax.stop_gradient(params), k_imagine, tokens.reshape((rows * lanes, -1))[which], lost[which]
        )
        learned, told = objective(params["policy"], k_policy, made)
        return total + learned, {**told, **means, "loss": total + learned, "model_loss": total}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps._replace(extras=(), carry=())
        gradients, metrics = jax.grad(loss, has_aux=True)(state.params, state, key, steps)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        return State(params, opt_state, state.updates + 1), Info({**metrics, **told})

    return Agent(init, lambda state: state.params, network.begin, act, update)
