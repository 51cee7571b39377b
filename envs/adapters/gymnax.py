"""Tasks of gymnax (Lange, 2022) as environments with next-step auto-reset and exact truncation.

gymnax's own `step` resets within the step that ends an episode. Here its physics (`reset_env`, `step_env`) run under
`envs.base.episodic` instead, so the LAST row carries the true final observation and the time limit truncates. Films are
drawn here, CartPole as our own and all others as what they observe: gymnax's own pictures are matplotlib's figures.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Space, Spec, Tree, episodic
from envs.host import unknown
from envs.tasks import cartpole

IDS = (
    *("CartPole-v1", "Pendulum-v1", "Acrobot-v1", "MountainCar-v0", "MountainCarContinuous-v0"),
    *("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar"),
    *("Catch-bsuite", "DeepSea-bsuite", "MemoryChain-bsuite", "UmbrellaChain-bsuite", "DiscountingChain-bsuite"),
    *("MNISTBandit-bsuite", "SimpleBandit-bsuite", "FourRooms-misc", "MetaMaze-misc", "PointRobot-misc"),
    *("BernoulliBandit-misc", "GaussianBandit-misc", "Reacher-misc", "Swimmer-misc", "Pong-misc", "FrozenLake-misc"),
)


def ids() -> tuple[str, ...]:
    """What `gymnax` accepts, without importing gymnax, which takes seconds."""
    return IDS


def gymnax(id: str, **options: Any) -> Environment:
    """A gymnax task.

    Args:
      id: one of `ids()`. MNISTBandit-bsuite downloads MNIST.
      **options: fields of the task's `EnvParams` (`max_steps_in_episode`, which becomes the time limit; `gravity`,
        `memory_length`, ...) or arguments of its constructor (`size`, `rows`, `map_name`, ...).

    Returns:
      Observations as gymnax gives them, in the dtype that it really uses; infinite bounds where it declares the largest
      float.

    Raises:
      ValueError: for an unknown id, answered with the closest ones; for an option that the task lacks; where its data
        cannot be downloaded.
    """
    if id not in IDS:
        raise unknown("gymnax task", id, IDS)
    env, params = _make(id, options)

    # gymnax gives a state with its observation, which may hold random numbers: the two are kept together.

    def initial(key: Key) -> tuple[Any, Tree]:
        with jax.numpy_rank_promotion("allow"):
            observation, state = env.reset_env(key, params)
        return _strong(state), _strong(observation)

    def transition(key: Key, state: tuple[Any, Tree], action: Array) -> tuple[tuple[Any, Tree], Array, Array]:
        with jax.numpy_rank_promotion("allow"):
            observation, inner, reward, terminated, _ = env.step_env(key, state[0], action, params)
        reward = jnp.reshape(reward, ()).astype(jnp.float32)
        return (_strong(inner), _strong(observation)), reward, jnp.asarray(terminated, bool)

    shown = jax.eval_shape(initial, jax.random.key(0))[1]
    observations = _space(env.observation_space(params))._replace(**_real(shown, env.observation_space(params)))
    limit = int(params.max_steps_in_episode)
    seconds = getattr(params, "tau", None) or getattr(params, "dt", None)  # of a step, where it has a length
    spec = Spec(id, observations, _space(env.action_space(params)), limit)
    spec = spec._replace(fps=1 / float(seconds)) if seconds else spec

    def render(state: tuple[Any, Tree]) -> Array:
        return cartpole.render(state[1]) if id == "CartPole-v1" else drawing.observed(observations, state[1])

    return episodic(initial, transition, lambda state: state[1], spec, render)


def _make(id: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """The task and its parameters; each option goes to whichever of the two knows it."""
    import gymnax
    from gymnax import registration

    accepted = set(inspect.signature(registration._builtins[id].__init__).parameters) - {"self"}
    try:
        env, params = gymnax.make(id, **{k: v for k, v in options.items() if k in accepted})
    except OSError as error:
        raise ValueError(f"gymnax: {id} could not get its data: {error}") from error
    fields = set(params.__dataclass_fields__)
    unknown = sorted(set(options) - accepted - fields)
    if unknown:
        known = ", ".join(sorted(accepted | fields))
        raise ValueError(f"gymnax: {id} has no option {unknown[0]!r}; it has {known}")
    return env, params.replace(**{k: v for k, v in options.items() if k in fields})


def _strong(tree: Tree) -> Tree:
    """Without Python numbers and weak types, so that a scan's carry keeps its types."""
    return jax.tree.map(lambda x: jax.lax.convert_element_type(x, jnp.asarray(x).dtype), tree)


def _real(shown: Any, space: Any) -> dict[str, Any]:
    """What gymnax declares wrongly: the dtype of some array observations."""
    return {} if hasattr(space, "n") else {"shape": shown.shape, "dtype": shown.dtype.type}


def _space(space: Any) -> Space:
    if hasattr(space, "n"):
        return Discrete(int(space.n))
    bounds = [np.asarray(bound, np.float32) for bound in (space.low, space.high)]
    low, high = (np.where(abs(b) >= np.finfo(np.float32).max, np.copysign(np.inf, b), b) for b in bounds)
    return Box(tuple(space.shape), low, high, np.dtype(space.dtype).type)
