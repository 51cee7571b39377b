"""Distributions of tasks around a simulator: half-cheetahs paid for a speed or a direction, and skills of Meta-World.

`envs.families` has the same in graph. Finn et al., "Model-agnostic meta-learning for fast adaptation of deep networks"
(ICML 2017), section 5.3, for the cheetah; Yu et al., "Meta-World" (CoRL 2019), whose ML1 is one skill with its goal
hidden. The simulator is envpool.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.adapters.envpool import envpool
from envs.base import FIRST, LAST, MID, Box, HostEnvironment, Pool, TimeStep, host_rows
from envs.host import lane_seeds, unknown

Pays = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""`(task [N], action [N, k], reward [N] of the simulator) -> reward [N]`, where no episode opens."""
CHEETAH = "HalfCheetah-v4"
SIMULATED, COST = 0.1, 0.05
"""What the squared torques cost in the simulator, and in the paper's tasks."""
ML1 = "ML1/"
GOALS = 2**32
"""How many numbers there are that a lane of Meta-World is seeded with, each for one goal."""


class Family(NamedTuple):
    """A distribution of tasks of one simulator."""

    base: str
    draw: Callable[[np.random.Generator], float]
    pays: Pays
    seeds: bool = False
    """Whether a task is the number that a lane of the simulator is seeded with, since its goal cannot be set."""


def _speed(action: np.ndarray, reward: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean speed of a step, in m/s, which is what the simulator pays less its cost; and the squared torques."""
    torques = np.sum(np.square(np.clip(action, -1.0, 1.0)), axis=-1)
    return reward + SIMULATED * torques, torques


def _velocity(task: np.ndarray, action: np.ndarray, reward: np.ndarray) -> np.ndarray:
    speed, torques = _speed(action, reward)
    return -np.abs(speed - task) - COST * torques


def _direction(task: np.ndarray, action: np.ndarray, reward: np.ndarray) -> np.ndarray:
    speed, torques = _speed(action, reward)
    return task * speed - COST * torques


def _goal(rng: np.random.Generator) -> float:
    return float(rng.integers(GOALS))


CHEETAHS = {
    "HalfCheetahVelocity": Family(CHEETAH, lambda rng: rng.uniform(0.0, 2.0), _velocity),
    "HalfCheetahDirection": Family(CHEETAH, lambda rng: rng.choice([-1.0, 1.0]), _direction),
}


def ids() -> tuple[str, ...]:
    """The distributions."""
    from envpool.registration import registry

    skills = (name for name in registry.specs if name.startswith("MetaWorld/"))
    return (*CHEETAHS, *(name.replace("MetaWorld/", ML1) for name in skills))


def meta(
    id: str,
    *,
    episodes: int = 1,
    told: bool | None = None,
    tasks: int = 0,
    seed: int = 0,
    time_limit: int | None = None,
    num_threads: int | None = None,
) -> HostEnvironment:
    """A distribution of tasks, of which one is drawn for every trial.

    "HalfCheetahVelocity" pays minus the distance of the speed to one drawn in [0, 2] m/s, "HalfCheetahDirection" the
    speed forwards or backwards, both less 0.05 times the squared torques. "ML1/Push-v3" and the like are skills of
    Meta-World with their own rewards; a task is a goal, which no observation shows, and where objects begin.

    Meta-World in envpool takes no goal. Every reset of a lane draws one, by a generator that is seeded once, when the
    lane is made. So goals that come again, for `episodes` other than 1 or for `tasks`, are seeds of lanes that are made
    anew for each episode: the goal of a seed is then the first that it draws. Making a lane takes much longer than a
    reset, so where no goal comes again the simulator draws them.

    Args:
      id: one of `ids()`.
      episodes: of a trial; 0 for a task that stays in its lane for good.
      told: whether a trial is one episode, whose observations tell the last action, its reward and where an episode
        begins, as `envs.wrappers.trial` has it; if not, episodes are episodes, and the task stays for so many. By
        default told, but for tasks that stay for good.
      tasks: how many there are in the set; 0 for a fresh one in every trial.
      seed: which they are.
      time_limit: steps of an episode; 200 for cheetahs, as in the paper, and 500 for Meta-World, by default.
      num_threads: of the simulator, see `envs.adapters.envpool`.

    Raises:
      ValueError: an unknown distribution, or an argument out of range.
    """
    skill = id.startswith(ML1)
    if id not in CHEETAHS and not (skill and id in ids()):
        raise unknown("meta task", id, ids())
    for name, value in (("episodes", episodes), ("tasks", tasks), ("seed", seed)):
        if value < 0:
            raise ValueError(f"{name} is {value}; allowed: 0 or more")
    told = episodes > 0 if told is None else told
    if told and not episodes:
        raise ValueError("told is True; allowed with episodes=0: False, a trial without an end is no episode")
    limit = (500 if skill else 200) if time_limit is None else time_limit
    if limit < 1:
        raise ValueError(f"time_limit is {limit}; allowed: 1 or more")
    goals = Family(id.replace(ML1, "MetaWorld/"), _goal, lambda task, action, reward: reward, seeds=True)
    family = CHEETAHS.get(id, goals)
    repeats = family.seeds and (episodes, tasks) != (1, 0)
    inner = envpool(family.base, num_threads=num_threads, max_episode_steps=limit)
    assert isinstance(inner.spec.observation, Box) and isinstance(inner.spec.action, Box)
    space: Any = inner.spec.observation
    if told:
        told_too = {"last_action": inner.spec.action, "last_reward": Box((1,)), "new_episode": Box((1,), 0.0, 1.0)}
        space = {"observation": space, **told_too}
    length = episodes * (limit + 1) - 1 if told else limit  # an episode within a trial has a row that opens it
    spec = inner.spec._replace(
        name=f"meta/{id}", observation=space, time_limit=length, episodes=None if told else episodes
    )

    def pool(num_envs: int, seed: int | Sequence[int]) -> Pool:
        trials = _Trials(family, drawn, episodes, told, lane_seeds(seed, num_envs), inner.spec.action.shape)
        lanes: list[Pool] = [] if repeats else [inner.pool(num_envs, seed)]

        def close() -> None:
            while lanes:
                lanes.pop().close()

        def opened() -> TimeStep:
            if repeats:
                close()
                lanes.append(inner.pool(num_envs, [int(task) for task in trials.tasks]))
            return lanes[0].reset()

        def reset() -> TimeStep:
            trials.begin()
            return trials.seen(opened())

        def send(actions: Any) -> None:
            trials.send(np.asarray(actions, np.float32))
            if not (repeats and trials.last.any()):
                lanes[0].send(trials.sent)

        def recv() -> TimeStep:  # episodes of Meta-World are of one length, so all lanes open theirs together
            return trials.seen(opened() if repeats and trials.last.any() else lanes[0].recv())

        def frame() -> Any:
            picture = lanes[0].frame
            assert picture is not None
            return picture()

        return Pool(num_envs, reset, send, recv, spec, close, frame)

    def drawn(rng: np.random.Generator) -> float:
        return family.draw(np.random.default_rng((seed, int(rng.integers(tasks)))) if tasks else rng)

    return HostEnvironment(pool, spec)


class _Trials:
    """The lanes' tasks, and how far their trials are."""

    def __init__(
        self, family: Family, draw: Any, episodes: int, told: bool, seeds: np.ndarray, shape: tuple[int, ...]
    ) -> None:
        self.family, self.draw, self.episodes, self.told = family, draw, episodes, told
        self.random = [np.random.default_rng(int(seed)) for seed in seeds]
        self.tasks, self.ended = np.zeros(len(seeds)), np.zeros(len(seeds), np.int32)
        self.last = self.over = np.zeros(len(seeds), bool)  # of the newest row: an episode ends, and its trial
        self.sent = self.nothing = np.zeros((len(seeds), *shape), np.float32)

    def begin(self) -> None:
        """Every lane begins a trial."""
        self.over = np.ones(len(self.over), bool)
        self.send(self.nothing)

    def send(self, actions: np.ndarray) -> None:
        """Takes the actions, and draws the task of each trial that opens with the next row."""
        self.sent = actions
        for lane in np.flatnonzero(self.over):
            self.tasks[lane] = self.draw(self.random[lane])
        self.ended = np.where(self.over, 0, self.ended)

    def seen(self, row: TimeStep) -> TimeStep:
        """The simulator's row as the trial's."""
        kind, discount = np.asarray(row.step_type), np.asarray(row.discount)
        opens, self.last = kind == FIRST, kind == LAST
        anew = opens & (self.ended == 0)
        self.ended = self.ended + self.last
        self.over = self.last & (self.ended == self.episodes)
        paid = self.family.pays(self.tasks.astype(np.float32), self.sent, np.asarray(row.reward))
        reward = np.where(opens, 0.0, paid).astype(np.float32)
        if not self.told:
            return host_rows(kind, reward, discount, row.observation)
        told = {
            "observation": row.observation,
            "last_action": np.where(opens[:, None], 0.0, self.sent).astype(np.float32),
            "last_reward": reward[:, None],
            "new_episode": opens[:, None].astype(np.float32),
        }
        kind = np.where(anew, FIRST, np.where(self.over, LAST, MID)).astype(np.int8)
        ends = np.where(self.over, 0.0, np.where(self.last, 1.0, discount)).astype(np.float32)
        return host_rows(kind, reward, ends, told)
