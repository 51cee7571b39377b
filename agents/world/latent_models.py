"""A latent world model on the interface of planners and Dyna (`agents.world.models`)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.base import Array, Key, Step, TimeStep, Tree, batch_of, select
from agents.common import optimisers
from agents.world import dreams
from agents.world.dreams import Modelling
from agents.world.models import Imagined, Learner, Model
from envs.base import Space
from networks.world import Latent, World


class Begun(NamedTuple):
    """The state of a model that begins with observations: they are encoded at the first step, which has parameters."""

    observation: Tree
    state: Latent
    fresh: Array  # bool [N], nothing was imagined yet
    going: Array  # [N], 0 once the episode has ended


def judged(world: World, how: Modelling, params: Any, state: Latent) -> tuple[Array, Array]:
    """Reward and discount (1 or 0) that the model says arrived with states `[N]`."""
    features = state.features
    reward = how.rewards.mean(dreams.call(world, params, features, method="reward"))
    return reward, jnp.where(dreams.discounts(world, params, features) > 0.5, 1.0, 0.0)


def model(world: World, actions: Space, how: Modelling, sampled: bool = True) -> Model:
    """The model from observations, with nothing remembered of what was before them.

    Args:
      world: the module, whose parameters `step` takes.
      actions: of the task.
      how: it is learned, which says how rewards are told.
      sampled: draw latents; without it their modes are taken.
    """

    def start(observation: Tree) -> Begun:
        lanes = batch_of(observation)
        return Begun(observation, world.rssm.begin(lanes), jnp.ones(lanes, bool), jnp.ones(lanes))

    def step(params: Any, key: Key, begun: Begun, action: Tree) -> tuple[Begun, Imagined]:
        k_seen, k_next = dreams.split(key if sampled else None, 2)
        lanes = len(begun.fresh)
        done = dreams.encoded(actions, action)
        code = dreams.call(world, params, begun.observation, method="encode")
        opened = jnp.ones(lanes, bool)
        seen, *_ = dreams.call(world, params, begun.state, done, code, opened, k_seen, method="observe")
        state = select(begun.fresh, seen, begun.state)
        state = dreams.call(world, params, state, done, k_next, method="imagine")
        reward, going = judged(world, how, params, state)
        shown = dreams.call(world, params, state.features, method="shown")
        after = Begun(begun.observation, state, jnp.zeros(lanes, bool), begun.going * going)
        return after, Imagined(shown, reward * begun.going, after.going)

    return Model(start, step)


def latent_model(world: World, actions: Space, how: Modelling, sampled: bool = True) -> Model:
    """The model from states of its own, which stand for observations; arguments as for `model`.

    So a planner begins at what an agent remembers, and its heuristic reads states.
    """

    def step(params: Any, key: Key, state: Latent, action: Tree) -> tuple[Latent, Imagined]:
        done = dreams.encoded(actions, action)
        after = dreams.call(world, params, state, done, key if sampled else None, method="imagine")
        return after, Imagined(after, *judged(world, how, params, after))

    return Model(lambda state: state, step)


class State(NamedTuple):
    """A model alone, as it is learned."""

    params: Any
    optimiser: Any


def learner(
    world: World, actions: Space, optimiser: optax.GradientTransformation, how: Modelling, sampled: bool = True
) -> Learner:
    """The model learned by itself, from windows that begin with nothing remembered; for Dyna and for planners.

    Args:
      world: the module.
      actions: of the task.
      optimiser: an `agents.common.optimisers` chain.
      how: it is learned.
      sampled: draw latents of what is imagined; without it their modes are taken.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        params = fresh(world, actions, key, timestep)
        return State(params, optimiser.init(params))

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        timestep, lanes = steps.timestep, steps.timestep.reward.shape[1]
        done = dreams.encoded(actions, steps.action)
        done = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])
        first = timestep.first().at[0].set(True)
        begun = world.rssm.begin(lanes)
        seen = dreams.observe(world, params, key, begun, done, timestep.observation, first)
        # What arrived with the first row is due to what is not in the window.
        seen, timestep = jax.tree.map(lambda x: x[1:], (seen, timestep))
        return dreams.model_loss(world, params, how, seen, timestep)

    def update(state: State, key: Key, steps: Step) -> tuple[State, dict[str, Array]]:
        gradients, metrics = jax.grad(loss, has_aux=True)(state.params, key, steps)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "model_")
        return State(params, opt_state), metrics | told

    return Learner(model(world, actions, how, sampled), init, lambda state: state.params, update)


def fresh(world: World, actions: Space, key: Key, timestep: TimeStep) -> Any:
    """Parameters of a model for lanes like `timestep[B]`."""
    action = jnp.zeros((timestep.reward.shape[0], dreams.width(actions)))
    return world.init(key, timestep.observation, action, method="whole")["params"]
