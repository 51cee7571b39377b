"""Any task registered with gymnasium, a user's own included, through its vector interface.

`gymnasium/MyEnv-v0` is a task that is registered already; `gymnasium/my.module:MyEnv-v0` imports `my.module`, which
registers it, first. Lanes reset in the step after an episode's last one (`AutoresetMode.NEXT_STEP`), so a truncated
episode shows its true final observation and keeps discount 1.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.adapters.gymnasium_spaces import acted, observed
from envs.base import FIRST, LAST, MID, HostEnvironment, Pool, Spec, TimeStep, host_rows
from envs.host import joined, lane_seeds, run_seeds, unknown

MODES = ("sync", "async", "vector_entry_point")


def gymnasium(id: str, *, vectorization: str = "sync", **options: Any) -> HostEnvironment:
    """A task of gymnasium.

    Observations are float32, int32 or uint8 (booleans become float32, and so do whole numbers beyond int32);
    dictionaries stay dictionaries, of one level (`gymnasium_spaces.observed`). Actions are expected in the task's own
    range, and clipped to it; those of any shape are vectors here. Lane 0 can be drawn if the task offers "rgb_array".

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
    except (gym.error.Error, ImportError, TypeError, AssertionError) as error:
        raise ValueError(f"gymnasium/{id} cannot be made with {options}: {error}") from error
    entry = single.spec
    assert entry is not None
    if vectorization == "vector_entry_point" and entry.vector_entry_point is None:
        raise ValueError(f"gymnasium/{id} has no vector entry point; allowed: sync, async")
    observation, observe = observed(id, gym, single.observation_space)
    action, convert = acted(id, gym, single.action_space)
    spec = Spec(f"gymnasium/{id}", observation, action, entry.max_episode_steps)
    drawn = "rgb_array" in single.metadata.get("render_modes", ())
    made = ({"render_mode": "rgb_array"} if drawn else {}) | options
    single.close()

    def pool(num_envs: int, seed: int | Sequence[int]) -> Pool:
        seeds = lane_seeds(seed, num_envs).tolist()
        runs, lanes = run_seeds(seed, num_envs)
        batched = vectorization == "vector_entry_point"
        if batched and len(runs) > 1:  # one seed serves all lanes of such an implementation
            return joined([pool(lanes, run) for run in runs])
        vector: dict[str, Any] = {} if batched else {"autoreset_mode": AutoresetMode.NEXT_STEP}
        if vectorization == "async":
            vector["context"] = "spawn"  # a forked child of a process that runs JAX may hang
        raw: Any = gym.make_vec(id, num_envs, vectorization_mode=vectorization, vector_kwargs=vector, **made)
        if raw.metadata.get("autoreset_mode") != AutoresetMode.NEXT_STEP:
            raise ValueError(f"gymnasium/{id} resets in the same step in mode {vectorization}; allowed: sync, async")
        done, sent = np.zeros(num_envs, bool), None

        def reset() -> TimeStep:
            done[:] = False
            first, _ = raw.reset(seed=seeds[0] if batched else seeds)
            reward, discount = np.zeros(num_envs, np.float32), np.ones(num_envs, np.float32)
            return host_rows(np.full(num_envs, FIRST, np.int8), reward, discount, observe(first))

        def send(actions: Any) -> None:
            nonlocal sent
            sent = convert(actions, num_envs)
            if vectorization == "async":
                raw.step_async(sent)

        def recv() -> TimeStep:
            rows, reward, terminated, truncated, _ = raw.step_wait() if vectorization == "async" else raw.step(sent)
            ended = terminated | truncated
            step_type = np.where(done, FIRST, np.where(ended, LAST, MID)).astype(np.int8)
            done[:] = ended
            discount = 1 - terminated.astype(np.float32)
            return host_rows(step_type, reward.astype(np.float32), discount, observe(rows))

        def frame() -> np.ndarray:
            return np.asarray(raw.envs[0].render() if vectorization == "sync" else raw.render()[0])

        return Pool(num_envs, reset, send, recv, spec, raw.close, frame if drawn else None)

    return HostEnvironment(pool, spec)
