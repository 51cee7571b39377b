"""Any task registered with gymnasium, a user's own included, through its vector interface.

`gymnasium/MyEnv-v0` is a task that is registered already; `gymnasium/my.module:MyEnv-v0` imports `my.module`, which
registers it, first. Lanes reset in the step after an episode's last one (`AutoresetMode.NEXT_STEP`), so a truncated
episode shows its true final observation and keeps discount 1.

Lanes open without a renderer, which may need a screen; the one lane of `HostEnvironment.filmed` has one. An error that
the task raises becomes an `envs.host.TaskError` that names the task and the call. A task with goals, as those of
gymnasium-robotics, pays by its own `compute_reward` whatever goal it is asked for.
"""

import traceback
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from envs.adapters.goal_env import goals_of
from envs.adapters.gymnasium_spaces import acted, observed
from envs.base import FIRST, LAST, MID, HostEnvironment, Pool, Spec, TimeStep, host_rows
from envs.host import TaskError, calling, joined, lane_seeds, run_seeds, unknown

MODES = ("sync", "async", "vector_entry_point")
FPS = 30  # of a film, where the task does not say
RETURNED = {"reset": ("observation", "info"), "step": ("observation", "reward", "terminated", "truncated", "info")}


def gymnasium(id: str, *, vectorization: str = "sync", **options: Any) -> HostEnvironment:
    """A task of gymnasium.

    Observations are float32, int32 or uint8 (booleans become float32, and so do whole numbers beyond int32);
    dictionaries stay dictionaries, of one level (`gymnasium_spaces.observed`). Actions are expected in the task's own
    range, and clipped to it; those of any shape are vectors here. It can be filmed if it offers "rgb_array".

    Args:
      id: as registered, with the module that registers it and a colon in front where that is needed.
      vectorization: "sync" steps the lanes one after another; "async" in one process each, for tasks that are slow to
        simulate; "vector_entry_point" uses the task's own batched implementation, as CartPole-v1 has one.
      **options: for the task, and `max_episode_steps`.

    Raises:
      ValueError: unknown id, missing package, option that the task refuses, or a space that is not supported.
    """
    import gymnasium as gym
    from gymnasium.vector import AutoresetMode

    if vectorization not in MODES:
        raise ValueError(f"vectorization is {vectorization!r}; allowed: {', '.join(MODES)}")
    try:
        single = gym.make(id, **options)
    except (gym.error.NameNotFound, gym.error.NamespaceNotFound, gym.error.VersionNotFound) as error:
        raise unknown("gymnasium task", id, gym.registry) from error
    except TypeError as error:
        if _raised_by(error.__cause__ or error) != gym.envs.registration.__file__:  # not a refused argument
            raise TaskError(f"gymnasium/{id}: its constructor raised {error}") from error
        raise ValueError(f"gymnasium/{id} cannot be made with {options}: {error}") from error
    except (gym.error.Error, ImportError, AssertionError) as error:
        raise ValueError(f"gymnasium/{id} cannot be made with {options}: {error}") from error
    entry = single.spec
    assert entry is not None
    if vectorization == "vector_entry_point" and entry.vector_entry_point is None:
        raise ValueError(f"gymnasium/{id} has no vector entry point; allowed: sync, async")
    observation, observe = observed(id, gym, single.observation_space)
    action, convert = acted(id, gym, single.action_space)
    name, metadata = f"gymnasium/{id}", single.metadata or {}
    fps = float(metadata.get("render_fps") or FPS)
    limit = entry.max_episode_steps  # -1 takes a registered one away
    goals = goals_of(name, single, single.observation_space)
    spec = Spec(name, observation, action, limit if limit and limit > 0 else None, goals, fps=fps)
    drawn = "rgb_array" in (metadata.get("render_modes") or ())
    if goals is None:
        single.close()

    def pool(num_envs: int, seed: int | Sequence[int]) -> Pool:
        return opened(num_envs, seed, vectorization)

    def filmed(seed: int) -> Pool:
        try:
            return opened(1, seed, "sync", render_mode="rgb_array")
        except Exception as error:
            raise ValueError(f"{name} cannot be drawn: {type(error).__name__}: {error}") from error

    def opened(num_envs: int, seed: int | Sequence[int], vectorization: str, **drawing: Any) -> Pool:
        seeds = lane_seeds(seed, num_envs).tolist()
        runs, lanes = run_seeds(seed, num_envs)
        batched = vectorization == "vector_entry_point"
        if batched and len(runs) > 1:  # one seed serves all lanes of such an implementation
            return joined([pool(lanes, run) for run in runs])
        vector: dict[str, Any] = {} if batched else {"autoreset_mode": AutoresetMode.NEXT_STEP}
        if vectorization == "async":
            vector["context"] = "spawn"  # a forked child of a process that runs JAX may hang
        made = options | drawing
        raw: Any = gym.make_vec(id, num_envs, vectorization_mode=vectorization, vector_kwargs=vector, **made)
        if raw.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
            raise ValueError(f"gymnasium/{id} resets in the same step in mode {vectorization}; allowed: sync, async")
        for lane in raw.envs if vectorization == "sync" else ():
            _check_returned(name, lane.unwrapped)
        done, sent = np.zeros(num_envs, bool), None

        def reset() -> TimeStep:
            done[:] = False
            with calling(name, "reset"):
                first, _ = raw.reset(seed=seeds[0] if batched else seeds)
            reward, discount = np.zeros(num_envs, np.float32), np.ones(num_envs, np.float32)
            return host_rows(np.full(num_envs, FIRST, np.int8), reward, discount, observe(first))

        def send(actions: Any) -> None:
            nonlocal sent
            sent = convert(actions, num_envs)
            if vectorization == "async":
                with calling(name, "step"):
                    raw.step_async(sent)

        def recv() -> TimeStep:
            with calling(name, "step"):
                returned = raw.step_wait() if vectorization == "async" else raw.step(sent)
                rows, reward, terminated, truncated, _ = returned
            if np.shape(reward) != (num_envs,):
                raise TaskError(f"{name}: its rewards have shape {np.shape(reward)}; allowed: ({num_envs},), numbers")
            ended = terminated | truncated
            step_type = np.where(done, FIRST, np.where(ended, LAST, MID)).astype(np.int8)
            done[:] = ended
            discount = 1 - terminated.astype(np.float32)
            return host_rows(step_type, reward.astype(np.float32), discount, observe(rows))

        return Pool(num_envs, reset, send, recv, spec, raw.close, partial(_frame, name, raw) if drawing else None)

    return HostEnvironment(pool, spec, filmed if drawn else None)


def _raised_by(error: BaseException) -> str:
    """The file whose code raised an error."""
    return traceback.extract_tb(error.__traceback__)[-1].filename


def _frame(name: str, raw: Any) -> np.ndarray:
    """Lane 0 as an RGB array."""
    try:
        drawn = np.asarray(raw.envs[0].render())
    except Exception as error:
        raise ValueError(f"{name} cannot be drawn: {type(error).__name__}: {error}") from error
    if drawn.ndim != 3:
        raise ValueError(f"{name} cannot be drawn: its render gives {drawn.dtype}{list(drawn.shape)}, no RGB array")
    return drawn


def _check_returned(name: str, lane: Any) -> None:
    """Has a lane check what the task's own reset and step return, before gymnasium's wrappers take it apart."""

    def checked(call: str) -> Callable[..., Any]:
        inner, wanted = getattr(lane, call), RETURNED[call]

        def outer(*args: Any, **kwargs: Any) -> Any:
            returned = inner(*args, **kwargs)
            if not isinstance(returned, tuple) or len(returned) != len(wanted):
                many = f"{len(returned)} values" if isinstance(returned, tuple) else f"a {type(returned).__name__}"
                raise TaskError(f"{name}: its {call} returned {many}; allowed: {len(wanted)}, {', '.join(wanted)}")
            if call == "step" and np.ndim(returned[1]):
                shape = np.shape(returned[1])
                raise TaskError(f"{name}: its step returned a reward of shape {shape}; allowed: a number")
            return returned

        return outer

    lane.reset, lane.step = checked("reset"), checked("step")
