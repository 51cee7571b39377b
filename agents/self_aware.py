"""An agent that seeks what its own model of the world gets wrong, and knows where that is.

Haber, Mrowca, Wang, Fei-Fei and Yamins, "Learning to play with intrinsically-motivated, self-aware agents", NeurIPS
2018. There is no reward and no policy gradient. A world model ω has the loss l_t on each transition, a self-model Λ
predicts the classes c_t, ..., c_{t+T-1} of the losses that follow an action, and the adversarial policy prefers the
actions of which it expects much:

    π(a|x_t) ∝ exp(β Σ_i E[c_{t+i} | x_t, a; Λ])

What is mastered has small losses and is left; what is random would hold it, as the paper says too. Classes are cut at
quantiles of the losses: averaged over the first updates and kept, so that interest can fall as losses do, or following
them.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, valid
from agents.common.bonuses.encoders import Head, check_actions, coded, flat
from envs import parallel
from envs.base import Discrete, Spec

World = Literal["forward", "inverse"]


class State(NamedTuple):
    """Both models, the losses that cut the classes, and how many updates were made."""

    world: Learned
    self: Learned
    thresholds: Array  # [K-1]
    updates: Array  # int32

    @property
    def params(self) -> Any:
        """What is learned by gradient."""
        return self.world.params, self.self.params


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    random: Array  # bool: classes are not settled yet


def self_aware(
    spec: Spec,
    world_optimiser: optax.GradientTransformation,
    self_optimiser: optax.GradientTransformation,
    *,
    world: World = "forward",
    hidden: tuple[int, ...] = (64, 64),
    cnn: str | None = None,
    steps: int = 3,
    quantiles: tuple[float, ...] = (0.3, 0.6, 0.85),
    settle: int = 100,
    follow: float = 0.0,
    beta: float | Array = 1.0,
    candidates: int = 100,
    adversarial: bool = True,
    shuffled: bool = False,
) -> Agent:
    """The agent; learns from `replay.uniform` of windows of `steps` transitions.

    Args:
      spec: of the task. A forward model predicts what `bonuses.encoders.flat` makes of the observation.
      world_optimiser: an `agents.common.optimisers` chain for the world model.
      self_optimiser: another for the self-model.
      world: a "forward" model of the next observation, or an "inverse" one of the action between two.
      hidden: sizes of the layers of both.
      cnn: convolutions for images, as in `networks.Torso`.
      steps: T.
      quantiles: that cut the classes, in rising order; K is one more.
      settle: updates over which thresholds are averaged. Until then actions are random.
      follow: share by which thresholds move to the quantiles of each batch after that.
      beta: β.
      candidates: actions drawn to choose from, of a Box; Discrete ones are all compared.
      adversarial: act by the self-model; if not, at random always.
      shuffled: teach the self-model losses of other transitions, which takes its knowledge away.

    Raises:
      ValueError: the actions are neither discrete nor a vector.
    """
    size, space = check_actions("self_aware", spec.action), spec.action
    torso = lambda: networks.Torso(spec.observation, hidden[:-1], cnn)  # noqa: E731
    encoder = Head(torso(), (hidden[-1],))
    classes = len(quantiles) + 1

    def layers(outputs: int) -> networks.MLP:
        return networks.MLP((hidden[-1], outputs), activate_final=False)

    def goal_size(observation: Tree) -> int:
        return flat(spec.observation, observation).shape[-1] if world == "forward" else size

    def error(params: Any, x_tm1: Tree, a_tm1: Array, x_t: Tree) -> Array:
        """l of each transition."""
        before = jnp.asarray(encoder.apply(params["encoder"], x_tm1))
        other = coded(space, a_tm1) if world == "forward" else jnp.asarray(encoder.apply(params["encoder"], x_t))
        inputs = jnp.concatenate([before, other], -1)
        guess = jnp.asarray(layers(goal_size(x_t)).apply(params["head"], inputs))
        if world == "forward":
            return losses.prediction_error(guess, flat(spec.observation, x_t))
        if isinstance(space, Discrete):
            return losses.inverse_loss(guess, a_tm1)
        return losses.prediction_error(guess, a_tm1)

    def expected(params: Any, observation: Tree, action: Array) -> Array:
        """Logits of the classes of the losses that follow, `[..., T, K]`."""
        code = jnp.asarray(encoder.apply(params["encoder"], observation))
        logits = jnp.asarray(layers(steps * classes).apply(params["head"], jnp.concatenate([code, action], -1)))
        return logits.reshape((*logits.shape[:-1], steps, classes))

    def init(key: Key, timestep: TimeStep) -> State:
        keys = jax.random.split(key, 4)
        rows = timestep.reward.shape[0]

        def fresh(keys: Any, beside: int, outputs: int) -> Any:
            row = jnp.zeros((rows, hidden[-1] + beside))
            encoding = encoder.init(keys[0], timestep.observation)
            return {"encoder": encoding, "head": layers(outputs).init(keys[1], row)}

        beside = size if world == "forward" else hidden[-1]
        model = fresh(keys[:2], beside, goal_size(timestep.observation))
        own = fresh(keys[2:], size, steps * classes)
        learned = Learned(model, world_optimiser.init(model)), Learned(own, self_optimiser.init(own))
        return State(*learned, jnp.zeros(classes - 1), jnp.int32(0))

    def actor(state: State) -> Actor:
        return Actor(state.self.params, state.updates < settle)

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_draw, k_choose = jax.random.split(key)
        lanes = timestep.reward.shape[0]
        if isinstance(space, Discrete):
            drawn: Any = jnp.broadcast_to(jnp.arange(space.num)[None], (lanes, space.num))
        else:
            box: Any = space
            low, high = (np.broadcast_to(np.asarray(b, np.float32), box.shape) for b in (box.low, box.high))
            unit = jax.random.uniform(k_draw, (lanes, candidates, size))
            drawn = low[None, None] + unit * (high - low)[None, None]
        number = drawn.shape[1]
        seen = jax.tree.map(lambda x: jnp.repeat(x[:, None], number, 1), timestep.observation)
        score = beta * losses.expected_class(expected(actor.params, seen, coded(space, drawn)))
        score = jnp.where(actor.random if adversarial else True, 0.0, score)
        choice = jax.random.categorical(k_choose, score) if explore else jnp.argmax(score, -1)
        return drawn[jnp.arange(lanes), choice], carry, {}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        rows, mask = sample.steps, valid(sample.steps)
        ends = [jax.tree.map(lambda x, s=s: x[s], rows.timestep.observation) for s in (np.s_[:-1], np.s_[1:])]

        def world_loss(params: Any) -> tuple[Array, dict[str, Any]]:
            each = error(params, ends[0], rows.action[:-1], ends[1])
            value = parallel.masked_mean(each, mask)
            return value, {"loss": value, "each": each}

        learned, told = descend(world_optimiser, world_loss, state.world)
        each = told.pop("each")
        found = parallel.mean(jnp.nanquantile(jnp.where(mask, each, jnp.nan), jnp.asarray(quantiles)))
        found = jnp.where(jnp.isfinite(found), found, state.thresholds)
        rate = jnp.where(state.updates < settle, 1 / (state.updates + 1.0), follow)
        thresholds = state.thresholds + rate * (found - state.thresholds)
        realised = error(learned.params, ends[0], rows.action[:-1], ends[1])
        if shuffled:
            realised = realised[:, jax.random.permutation(parallel.own_key(key), realised.shape[1])]
        goals = losses.bins(realised, thresholds)
        within = jnp.cumprod(mask, axis=0)

        def self_loss(params: Any) -> tuple[Array, dict[str, Any]]:
            first = jax.tree.map(lambda x: x[0], rows.timestep.observation)
            logits = jnp.moveaxis(expected(params, first, coded(space, rows.action[0])), -2, 0)
            value = parallel.masked_mean(losses.inverse_loss(logits, goals), within)
            return value, {"self_loss": value}

        own, more = descend(self_optimiser, self_loss, state.self, part="self_")
        told |= more | {"threshold": thresholds[-1]}
        return State(learned, own, thresholds, state.updates + 1), Info(told)

    return Agent(init, actor, lambda batch: (), act, update)
