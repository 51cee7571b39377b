"""Tasks simulated by envpool: classic control, Atari, MuJoCo, dm_control, goal tasks, MiniGrid and more.

The simulator's rows are read below its gymnasium interface, because they already tell FIRST, MID and LAST apart and
carry the discount of a lost life, which that interface drops. What is put right on the way:

- A truncated episode keeps discount 1; envpool's own discount is 0 there.
- Under `zero_discount_on_life_loss` a gained life keeps discount 1, where envpool's is 0 whenever their number changes;
  and a life lost on the very step of a truncation has discount 0.
- The reward of a FIRST row is 0; dm_control's and Meta-World's is not.
- An episode that terminates on its last allowed step counts as terminated, where envpool calls it truncated. Atari
  reports the difference. Classic control, toy text, Box2D and MuJoCo are given one step more than their limit, which
  no one sees. MiniGrid and BabyAI keep envpool's answer; the other families hardly ever terminate.
- Jumanji's Maze and Rubik's cube are truncated at their limit unless solved. Its other tasks, and highway's, end in
  termination there, as they do in the simulator.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from envs import text
from envs.base import (
    FIRST,
    LAST,
    MID,
    Box,
    Discrete,
    Goals,
    HostEnvironment,
    Pool,
    Spec,
    TimeStep,
    Vocabulary,
    host_rows,
)
from envs.goals import near
from envs.host import finite_or_inf, lane_seeds, narrowed, unknown

# Families by what they need. Cheap: a second thread costs more than it saves, up to so many lanes.
CHEAP, LANES_PER_THREAD = ("classic_control", "toy_text", "minigrid"), 256
STRETCHABLE = ("classic_control", "toy_text", "box2d", "mujoco.gym")  # the limit does nothing but truncate
FIXED_LIMIT = ("jumanji", "highway", "pgx")  # `max_episode_steps` is ignored
PAID_WHEN_SOLVED = ("Maze-v0", "RubiksCube-v0", "RubiksCube-partly-scrambled-v0")
CELL_KINDS = (11, 6, 3)  # objects, colours and states of a cell in MiniGrid
MISSIONS = (
    ", a after and at avoid ball behind blue box door end fetch find from front get go goal green grey hallway in key "
    "lava left matching maze must near next object of on open opening pick purple put reach red right room rooms "
    "square the then to traverse unlock up use yellow you your"
)
"""The words of the missions of MiniGrid and BabyAI."""
NO_LIMIT = 2**31 - 1
FPS, ATARI_FPS = 30, 60  # of films: the simulator says no rate; of raw frames
# Options that are not a user's, and those that are but are in no task's configuration.
RESERVED = (
    *("num_envs", "batch_size", "num_threads", "max_num_players", "thread_affinity_offset", "base_path", "seed"),
    *("env_seed", "gym_reset_return_info", "reward_threshold", "task", "task_name"),
)
PIXELS = {"from_pixels": False, "render_width": 0, "render_height": 0, "render_camera_id": -1}


def envpool(
    id: str,
    *,
    num_threads: int | None = None,
    drop: str | Sequence[str] = (),
    one_hot: bool = True,
    words: int = 0,
    **options: Any,
) -> HostEnvironment:
    """A task of envpool.

    Observations are float32, int32 or uint8 (booleans become float32, and so do whole numbers beyond int32).
    Dictionaries stay dictionaries, of one level: names of several are joined by dots. Images are channel-last: Atari's
    are `uint8[N, 84, 84, 4]`, newest frame last. Rewards are the simulator's, unclipped. Actions are expected in the
    task's own range, and clipped to it.

    Args:
      id: as in `envpool.list_all_envs()`.
      num_threads: of the simulator, 0 for one per core. Default: 0, or few for tasks that are cheap to simulate.
      drop: entries of a dictionary observation to leave out, such as MiniGrid's "mission".
      one_hot: MiniGrid's and BabyAI's "image" as `uint8[N, 7, 7, 20]` with 255 at the object, the colour and the state
        of each cell, as networks take images; else the three numbers of each cell, which are no brightnesses.
      words: MiniGrid's and BabyAI's "mission" as `int32[N, words]`, the numbers of its words in `spec.vocabulary`, of
        which those beyond so many are left out; BabyAI's are of at most 31. 0 for the bytes of its letters.
      **options: envpool's own, such as `max_episode_steps`. For Atari: `stack_num`, `frame_skip`, `noop_max`,
        `repeat_action_probability`, `full_action_space`, `img_height`, `img_width`, `gray_scale`,
        `zero_discount_on_life_loss` (a lost life has discount 0 and the game goes on), `episodic_life` (a lost life
        ends the episode), and others.

    Raises:
      ValueError: unknown id or option, a bad value, several players, or actions that are neither Discrete nor a Box.
    """
    import envpool as simulator
    from envpool.registration import registry

    if id not in registry.specs:
        raise unknown("envpool task", id, registry.specs)
    family = registry.specs[id][0].removeprefix("envpool.")
    if num_threads is not None and num_threads < 0:
        raise ValueError(f"num_threads is {num_threads}; allowed: 0 or more")
    task = _configured(simulator, id, family, options)
    order = {name: place for place, name in enumerate(task.state_array_spec)}
    observation, observe = _observation(task.state_array_spec, (drop,) if isinstance(drop, str) else tuple(drop))
    if one_hot and isinstance(observation, dict) and family == "minigrid" and "image" in observation:
        observation, observe = _cells(observation, observe)
    if words < 0 or (
        words and (family != "minigrid" or not isinstance(observation, dict) or "mission" not in observation)
    ):
        raise ValueError(f"words is {words}; allowed: 0, or more where the observation has a mission")
    known = text.vocabulary([MISSIONS], "mission") if words else None
    if known is not None:
        observation, observe = _missions(observation, observe, known, words)
    action, convert = _action(id, task)
    limit = task.config.max_episode_steps
    fps = ATARI_FPS / task.config.frame_skip if family == "atari" else FPS
    spec = Spec(
        f"envpool/{id}",
        observation,
        action,
        limit if 0 < limit < NO_LIMIT else None,
        _goals(id),
        fps=fps,
        vocabulary=known,
    )
    stretched = spec.time_limit is not None and family in STRETCHABLE
    paid_when_solved = id.removeprefix("Jumanji/") in PAID_WHEN_SOLVED
    lives_count = family == "atari" and task.config.zero_discount_on_life_loss

    def pool(num_envs: int, seed: int | Sequence[int]) -> Pool:
        seeds = lane_seeds(seed, num_envs).astype(np.int32)  # envpool takes signed ones; this wraps
        few = 1 + (num_envs - 1) // LANES_PER_THREAD if family in CHEAP else 0
        threads = few if num_threads is None else num_threads
        extra = {"max_episode_steps": limit + 1} if stretched else {}
        made = {"num_envs": num_envs, "num_threads": threads, "seed": seeds, "render_mode": "rgb_array"}
        raw: Any = simulator.make_gymnasium(id, **options | extra | made)
        lanes = np.arange(num_envs, dtype=np.int32)
        sent: Any = None
        lives = np.zeros(num_envs, np.int32)

        def reset() -> TimeStep:
            raw.async_reset()
            return recv()

        def send(actions: Any) -> None:
            nonlocal sent
            sent = convert(actions, num_envs)
            raw._send([lanes, lanes, sent])

        def recv() -> TimeStep:
            rows = raw._recv()
            step_type, elapsed = rows[order["step_type"]].astype(np.int8), rows[order["elapsed_step"]]
            reward, discount, truncated = (rows[order[name]] for name in ("reward", "discount", "trunc"))
            reward[step_type == FIRST] = 0.0
            if family == "atari":
                truncated &= rows[order["info:terminated"]] == 0
            if paid_when_solved:
                truncated |= (step_type == LAST) & (elapsed >= limit) & (reward == 0)
            discount[truncated] = 1.0
            if lives_count:
                discount[step_type == MID] = 1.0
                discount[(rows[order["info:lives"]] < lives) & (step_type != FIRST)] = 0.0
                lives[:] = rows[order["info:lives"]]
            if stretched:
                reached = (elapsed == limit) & (step_type == MID)
                if reached.any():
                    step_type[reached] = LAST
                    late = lanes[reached]
                    raw._send([late, late, sent[late]])  # beyond the limit, where envpool truncates
                    raw._recv()
            return host_rows(step_type, reward, discount, observe(rows))

        return Pool(num_envs, reset, send, recv, spec, raw.close, lambda: _drawn(raw, id, family))

    return HostEnvironment(pool, spec)


def _configured(simulator: Any, id: str, family: str, options: Mapping[str, Any]) -> Any:
    """The task's specification under checked options."""
    try:
        config = simulator.make_spec(id).config._asdict()
    except (ImportError, RuntimeError) as error:
        raise ValueError(f"envpool/{id} is not available here: {error}") from error
    if config["max_num_players"] > 1:
        raise ValueError(f"envpool/{id} has {config['max_num_players']} players; allowed: tasks with one")
    defaults = {name: value for name, value in config.items() if name not in RESERVED}
    if family in FIXED_LIMIT or defaults["max_episode_steps"] == NO_LIMIT:
        del defaults["max_episode_steps"]
    if family.startswith("mujoco"):
        defaults = PIXELS | defaults
    for name, value in options.items():
        if name not in defaults:
            raise ValueError(f"envpool/{id} has no option {name!r}; allowed: {', '.join(['num_threads', *defaults])}")
        kind = type(defaults[name])
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ValueError(f"option {name} is {value!r}; allowed: {kind.__name__}, such as {defaults[name]!r}")
        if name in ("max_episode_steps", "noop_max") and value < 1:  # the simulator dies of noop_max=0
            raise ValueError(f"option {name} is {value}; allowed: 1 or more")
    try:
        return simulator.make_spec(id, **options)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ValueError(f"envpool/{id} refuses the options {dict(options)}: {error}") from error


def _goals(id: str) -> Goals | None:
    """How the tasks with goals in a Euclidean space pay; not the hand's manipulation, whose goals are poses."""
    dense = "Dense" in id
    if id.startswith("Fetch"):
        return near(0.05, "distance" if dense else "cost")
    if id.startswith("PointMaze_"):
        return near(0.45, "exponential" if dense else "bonus")
    if id.startswith("HandReach"):
        return near(0.01, "distance" if dense else "cost")
    return None


def _observation(arrays: Mapping[str, Any], drop: tuple[str, ...]) -> tuple[Any, Callable[[list], Any]]:
    """The space of observations, and what assembles one from the simulator's rows."""
    entries = {
        tuple(name.removeprefix("obs:").replace(":", ".").split(".")): place
        for place, name in enumerate(arrays)
        if name.startswith("obs")
    }
    names = {path[0] for path in entries} if len(entries) > 1 else set()
    if not set(drop) <= names or (drop and set(drop) == names):
        raise ValueError(f"drop is {drop}; allowed: some, not all, of the entries of an observation: {sorted(names)}")
    kept = {path: place for path, place in entries.items() if path[0] not in drop}
    leaves = {path: (place, *_leaf(list(arrays.values())[place])) for path, place in kept.items()}

    if not names:
        ((place, space, convert),) = leaves.values()
        return space, lambda rows: convert(rows[place])
    return (
        {".".join(path): space for path, (_, space, _) in leaves.items()},
        lambda rows: {".".join(path): convert(rows[place]) for path, (place, _, convert) in leaves.items()},
    )


def _leaf(array: Any) -> tuple[Box | Discrete, Callable[[np.ndarray], np.ndarray]]:
    """The space of one array of an observation, and its conversion."""
    shape = tuple(size for size in array.shape if size != -1)  # -1: players
    dtype = narrowed(array.dtype, array.minimum, array.maximum)
    low, high = finite_or_inf(array.minimum, dtype), finite_or_inf(array.maximum, dtype)
    if shape == () and dtype == np.int32 and low == 0 and high < 2**20:
        return Discrete(int(high) + 1), lambda x: x.astype(np.int32, copy=False)
    if dtype == np.uint8 and len(shape) == 3 and shape[0] < min(shape[1:]):  # an image, channels first
        return Box((*shape[1:], shape[0]), low.min(), high.max(), np.uint8), channels_last
    return Box(shape, low[()], high[()], dtype), lambda x: x.astype(dtype, copy=False)


def _cells(space: dict[str, Any], observe: Callable[[list], Any]) -> tuple[dict[str, Any], Callable[[list], Any]]:
    """The same with the numbers of each cell one-hot."""
    tables = [np.eye(256, size, dtype=np.uint8) * 255 for size in CELL_KINDS]

    def one_hot(rows: list) -> dict[str, Any]:
        seen = observe(rows)
        cells = [table[seen["image"][..., i]] for i, table in enumerate(tables)]
        return {**seen, "image": np.concatenate(cells, axis=-1)}

    shape = (*space["image"].shape[:2], sum(CELL_KINDS))
    return {**space, "image": Box(shape, 0, 255, np.uint8)}, one_hot


def _missions(
    space: dict[str, Any], observe: Callable[[list], Any], known: Vocabulary, words: int
) -> tuple[dict[str, Any], Callable[[list], Any]]:
    """The same with the mission as numbers of words."""

    @lru_cache(maxsize=4096)
    def numbered(letters: bytes) -> np.ndarray:
        told = text.split(letters.split(b"\0")[0].decode())
        return text.encode(known, " ".join(told[:words]), words)

    def read(rows: list) -> dict[str, Any]:
        shown = observe(rows)
        return {**shown, "mission": np.stack([numbered(letters.tobytes()) for letters in shown["mission"]])}

    return {**space, "mission": text.space(known, words)}, read


def channels_last(images: np.ndarray) -> np.ndarray:
    """`uint8[N, C, H, W]` as contiguous `uint8[N, H, W, C]`.

    Four channels are packed into one 32-bit word per pixel, which is five times faster than a strided copy.
    """
    num, channels, height, width = images.shape
    if channels == 4:
        words = images[:, 3].astype("<u4")
        for channel in (2, 1, 0):
            words <<= 8
            words |= images[:, channel]
        return words.view(np.uint8).reshape(num, height, width, 4)
    if channels == 1:
        return images.reshape(num, height, width, 1)
    return np.ascontiguousarray(np.moveaxis(images, 1, -1))


def _action(id: str, task: Any) -> tuple[Box | Discrete, Callable[[Any, int], np.ndarray]]:
    """The space of actions, and what turns N of them into the simulator's array."""
    arrays = {name: array for name, array in task.action_array_spec.items() if not name.endswith("env_id")}
    array = next(iter(arrays.values()))
    shape, integer = tuple(array.shape[1:]), np.dtype(array.dtype).kind == "i"
    if len(arrays) > 1 or array.shape[:1] != [-1] or (integer and (shape or array.minimum != 0)):
        raise ValueError(f"envpool/{id} takes composite actions; allowed: tasks with a Discrete or a float Box action")
    low, high = (finite_or_inf(bound, array.dtype) for bound in (array.minimum, array.maximum))

    def convert(actions: Any, num_envs: int) -> np.ndarray:
        batch = np.array(actions, array.dtype, order="C")  # a copy: envpool wants to own a writeable one
        if batch.shape != (num_envs, *shape):
            raise ValueError(f"actions have shape {batch.shape}; allowed: {(num_envs, *shape)}")
        return batch if integer else np.minimum(np.maximum(batch, low), high)

    if integer:
        return Discrete(int(array.maximum) + 1), convert
    return Box(shape, low.astype(np.float32)[()], high.astype(np.float32)[()]), convert


def _drawn(raw: Any, id: str, family: str) -> np.ndarray:
    """Lane 0 as an RGB image."""
    # Without OpenGL, MuJoCo ends the process: let another one find out.
    probe = "import sys, envpool as e; p = e.make_gymnasium(sys.argv[1], num_envs=1, render_mode='rgb_array')"
    if family.startswith("mujoco") and not hasattr(raw, "_drawable"):
        command = [sys.executable, "-W", "ignore", "-c", f"{probe}; p.reset(); p.render(0)", id]
        done = subprocess.run(command, capture_output=True, check=False, cwd=tempfile.gettempdir())  # it leaves a log
        raw._drawable = done.returncode == 0
    if not getattr(raw, "_drawable", True):
        raise ValueError(f"envpool/{id} cannot be drawn: MuJoCo found no OpenGL")
    try:
        return raw.render(0)[0]
    except (RuntimeError, OSError) as error:
        raise ValueError(f"envpool/{id} cannot be drawn: {error}") from error
