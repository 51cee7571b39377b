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


class Family(NamedTuple):
    """A distribution of tasks of one simulator."""

    base: str
    draw: Callable[[np.random.Generator], float]
    pays: Pays
    goes_on: bool = True
    """Whether a task can stay for several episodes; if not, the simulator draws it anew with every one."""


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
    told: bool = True,
    tasks: int = 0,
    seed: int = 0,
    time_limit: int | None = None,
    num_threads: int | None = None,
) -> HostEnvironment:
    """A distribution of tasks, of which one is drawn for every trial.

    "HalfCheetahVelocity" pays minus the distance of the speed to one drawn in [0, 2] m/s, "HalfCheetahDirection" the
    speed forwards or backwards, both less 0.05 times the squared torques. "ML1/Push-v3" and the like are skills of
    Meta-World with their own rewards, whose goal no observation shows; it is drawn anew with every episode.

    Args:
      id: one of `ids()`.
      episodes: of a trial; 1 for Meta-World.
      told: whether a trial is one episode, whose observations tell the last action, its reward and where an episode
        begins, as `envs.wrappers.trial` has it; if not, episodes are episodes, and the task stays for so many.
      tasks: how many there are in the set; 0 for a fresh one in every trial. Of the cheetahs.
      seed: which they are.
      time_limit: steps of an episode; 200 for cheetahs, as in the paper, and 500 for Meta-World, by default.
      num_threads: of the simulator, see `envs.adapters.envpool`.

    Raises:
      ValueError: an unknown distribution, or an argument out of range.
    """
    skill = id.startswith(ML1)
    if id not in CHEETAHS and not (skill and id in ids()):
        raise unknown("meta task", id, ids())
    for name, value, least in (("episodes", episodes, 1), ("tasks", tasks, 0), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} is {value}; allowed: {least} or more")
    limit = (500 if skill else 200) if time_limit is None else time_limit
    if limit < 1:
        raise ValueError(f"time_limit is {limit}; allowed: 1 or more")
    kept = Family(id.replace(ML1, "MetaWorld/"), lambda rng: 0.0, lambda task, action, reward: reward, False)
    family = CHEETAHS.get(id, kept)
    if not family.goes_on and (episodes, tasks) != (1, 0):
        raise ValueError(
            f"episodes is {episodes}, tasks is {tasks}; allowed for {id}: 1 and 0, its simulator draws goals"
        )
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
        lanes = inner.pool(num_envs, seed)
        trials = _Trials(family, drawn, episodes, told, lane_seeds(seed, num_envs), inner.spec.action.shape)

        def send(actions: Any) -> None:
            trials.sent = np.asarray(actions, np.float32)
            lanes.send(trials.sent)

        return Pool(
            num_envs=num_envs,
            reset=lambda: trials.seen(lanes.reset(), begins=True),
            send=send,
            recv=lambda: trials.seen(lanes.recv()),
            spec=spec,
            close=lanes.close,
            frame=lanes.frame,
        )

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
        self.tasks, self.ended = np.zeros(len(seeds), np.float32), np.zeros(len(seeds), np.int32)
        self.sent = self.nothing = np.zeros((len(seeds), *shape), np.float32)

    def seen(self, row: TimeStep, begins: bool = False) -> TimeStep:
        """The simulator's row as the trial's."""
        kind, discount = np.asarray(row.step_type), np.asarray(row.discount)
        opens, last = kind == FIRST, kind == LAST
        if begins:
            self.sent = self.nothing
        anew = opens if begins else opens & (self.ended == self.episodes)
        for lane in np.flatnonzero(anew):
            self.tasks[lane] = self.draw(self.random[lane])
        self.ended = np.where(anew, 0, self.ended) + last
        paid = self.family.pays(self.tasks, self.sent, np.asarray(row.reward))
        reward = np.where(opens, 0.0, paid).astype(np.float32)
        if not self.told:
            return host_rows(kind, reward, discount, row.observation)
        over = last & (self.ended == self.episodes)
        told = {
            "observation": row.observation,
            "last_action": np.where(opens[:, None], 0.0, self.sent).astype(np.float32),
            "last_reward": reward[:, None],
            "new_episode": opens[:, None].astype(np.float32),
        }
        kind = np.where(anew, FIRST, np.where(over, LAST, MID)).astype(np.int8)
        return host_rows(kind, reward, np.where(over, 0.0, np.where(last, 1.0, discount)).astype(np.float32), told)
