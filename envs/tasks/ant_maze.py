"""The ant mazes of HIRO on MuJoCo: AntMaze, AntPush, AntFall and AntGather.

Nachum, Gu, Lee and Levine, "Data-efficient hierarchical reinforcement learning", NeurIPS 2018, appendix B, and the code
released with it; AntGather after Duan et al., "Benchmarking deep reinforcement learning for continuous control", ICML
2016. The body is gymnasium's ant with motors of ±30 N m and steps of 5 × 0.02 s. The floor is laid out in cells of 8 m,
with walls 4 m high; all lanes are stepped by native threads, while the caller goes on.
"""

import itertools
import os
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from envs import goals
from envs.base import FIRST, LAST, MID, Box, Goals, HostEnvironment, Pool, Spec, TimeStep, host_rows
from envs.host import lane_seeds
from envs.tasks.gather import Gather

CELL, HEIGHT, TORQUE, STEP, SKIP, LIMIT = 8.0, 4.0, 30.0, 0.02, 5, 500
QPOS, QVEL = 15, 14  # of the ant itself, which comes first
REACHED = 5.0  # metres to the goal, at the end of the episode


class Task(NamedTuple):
    """A floor plan and where to go."""

    plan: tuple[str, ...]  # rows by y, columns by x: # wall, R the ant, B a block, ~ a chasm
    target: tuple[float, ...]  # from where the ant starts; x and y, or all three
    region: tuple[tuple[float, float], ...] = ()  # bounds of random targets
    block: tuple[int, ...] = ()  # axes along which the block can be pushed
    mass: float = 0.0  # of the block


TASKS = {
    "AntMaze": Task(("#####", "#R  #", "### #", "#   #", "#####"), (0.0, 16.0), ((-4.0, 20.0), (-4.0, 20.0))),
    "AntPush": Task(("#####", "# R##", "# B #", "## ##", "#####"), (0.0, 19.0), block=(0, 1), mass=2e-4),
    "AntFall": Task(
        ("####", "#R #", "# B#", "#~~#", "#  #", "####"), (0.0, 27.0, 4.5), block=(1, 2), mass=1e-3
    ),
}  # fmt: skip
NAMES = (*TASKS, "AntGather")


def _boxes(task: Task) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Kind, centre and half size of every box: "wall", "floor" or "block"."""
    high = "~" in "".join(task.plan)  # then one walks on top of boxes, and the chasm is where there are none
    (origin,) = [(i, row.index("R")) for i, row in enumerate(task.plan) if "R" in row]
    boxes, half, up = [], np.array([CELL / 2, CELL / 2, HEIGHT / 2]), HEIGHT * high
    for i, j in itertools.product(range(len(task.plan)), range(len(task.plan[0]))):
        kind, x, y = task.plan[i][j], (j - origin[1]) * CELL, (i - origin[0]) * CELL
        if high and kind != "~":
            boxes.append(("floor", np.array([x, y, HEIGHT / 2]), half))
        if kind == "#":
            boxes.append(("wall", np.array([x, y, up + HEIGHT / 2]), half))
        if kind == "B":
            shrink = np.array([0.99, 0.99, 1.0]) if 2 in task.block else np.ones(3)
            boxes.append(("block", np.array([x, y, up + HEIGHT / 2]), half * shrink))
    return boxes


def _joined(boxes: list[tuple[str, np.ndarray, np.ndarray]]) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """The same solids with neighbours along x in one: fewer boxes to look for contacts with."""
    joined: list[tuple[str, np.ndarray, np.ndarray]] = []
    for kind, centre, half in sorted(boxes, key=lambda box: (box[0], *box[1][[2, 1, 0]])):
        if joined and kind != "block" and joined[-1][0] == kind:
            _, before, size = joined[-1]
            touching = np.isclose(before[0] + size[0], centre[0] - half[0])
            if touching and np.allclose((before[1:], size[1:]), (centre[1:], half[1:])):
                wider = (size[0] + half[0]) * np.eye(3)[0] + size * np.array([0, 1, 1])
                joined[-1] = (kind, centre + (half - wider) * np.eye(3)[0], wider)
                continue
        joined.append((kind, centre, half))
    return joined


def _arena(side: float) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Four walls around a square of that half side."""
    places = [(x * (side + 0.5), y * (side + 0.5)) for x, y in ((1, 0), (-1, 0), (0, 1), (0, -1))]
    return [
        ("wall", np.array([x, y, 0.5]), np.array([0.5 if x else side + 1, 0.5 if y else side + 1, 0.5]))
        for x, y in places
    ]


def build(task: Task | None, boxes: list[tuple[str, np.ndarray, np.ndarray]]) -> Any:
    """The compiled model: the ant among boxes.

    Raises:
      ValueError: gymnasium's ant is not where it was.
    """
    import mujoco

    package = find_spec("gymnasium")
    assert package is not None and package.origin is not None
    path = Path(package.origin).parent / "envs/mujoco/assets/ant.xml"
    if not path.exists():
        raise ValueError(f"the ant is gymnasium's {path}, which this version does not have")
    spec = mujoco.MjSpec.from_file(str(path))
    spec.option.timestep = STEP
    for motor in spec.actuators:
        motor.ctrlrange, motor.gear = [-TORQUE, TORQUE], [1, 0, 0, 0, 0, 0]
    kinds = [kind for kind, _, _ in boxes]
    if "floor" in kinds:
        spec.body("torso").pos[2] += HEIGHT
    solid: dict[str, Any] = {"type": mujoco.mjtGeom.mjGEOM_BOX, "contype": 1, "conaffinity": 1}
    for number, (kind, centre, half) in enumerate(_joined(boxes)):
        if kind != "block":
            spec.worldbody.add_geom(name=f"{kind}{number}", pos=centre, size=half, **solid)
            continue
        assert task is not None
        body = spec.worldbody.add_body(name="block", pos=centre)
        body.add_geom(name=f"block{number}", size=half, mass=task.mass, **solid)
        for axis in task.block:
            bounds = [-HEIGHT, 0.0] if axis == 2 else [-CELL, CELL]
            body.add_joint(
                name=f"block_{'xyz'[axis]}", type=mujoco.mjtJoint.mjJNT_SLIDE, axis=np.eye(3)[axis], range=bounds,
                limited=True, damping=[0.0, 0.0, 0.0], armature=0.0, margin=0.01,
            )  # fmt: skip
    if "block" in kinds:
        for geom in spec.geoms:
            geom.solimp = [0.995, 0.995, 0.01, 0.5, 2]
    return spec.compile()


def ant_maze(
    id: str,
    *,
    goal: Literal["any", "far"] = "any",
    reward: goals.Pay = "distance",
    time_limit: int = LIMIT,
    num_threads: int = 0,
) -> HostEnvironment:
    """One of the tasks.

    Observation: `observation` float32 [30] is the ant's 15 positions (x, y, z, orientation as a quaternion, eight
    joints) and 14 velocities and the steps so far over 1000; where blocks are it does not say. `achieved_goal` and
    `desired_goal` are x and y, in AntFall also z. Actions are torques, float32 [8] in [-30, 30], clipped. The reward is
    minus the distance to the goal; success is to be within 5 m of it when the episode ends, which only its limit of 500
    steps does. AntGather instead has no goal and observes `observation` [50], see `envs.tasks.gather`.

    Args:
      id: "AntMaze", "AntPush", "AntFall" or "AntGather".
      goal: of AntMaze: anywhere in [-4, 20]², as it is trained, or the "far" (0, 16), as it is judged. The others have
        one goal.
      reward: how the goal pays, see `goals.near`.
      time_limit: steps.
      num_threads: of the simulator, 0 for one per core.

    Raises:
      ValueError: an unknown task, or an argument out of range.
    """
    if id not in NAMES:
        raise ValueError(f"task is {id!r}; allowed: {', '.join(NAMES)}")
    if goal not in ("any", "far"):
        raise ValueError(f"goal is {goal!r}; allowed: any, far")
    if time_limit < 1 or num_threads < 0:
        raise ValueError(f"time_limit is {time_limit}, num_threads {num_threads}; allowed: 1 or more, 0 or more")
    task = TASKS.get(id)
    gather = Gather() if task is None else None
    boxes = _arena(gather.reach + 1) if gather else _boxes(task)  # type: ignore[arg-type]
    model = build(task, boxes)
    size = QPOS + QVEL + 1 + (gather.size if gather else 0)
    torque = np.float32(TORQUE)
    space: Any = {"observation": Box((size,))}
    rules: Goals | None = None
    if task is not None:
        rules = goals.near(REACHED, reward)
        space = goals.spaces(Box((size,)), Box((len(task.target),)))
    spec = Spec(f"mujoco/{id}", space, Box((8,), -torque, torque), time_limit, rules, fps=1 / (SKIP * STEP))

    def pool(num_envs: int, seed: int | Sequence[int]) -> Pool:
        lanes = _Lanes(model, task, gather, goal, time_limit, lane_seeds(seed, num_envs), num_threads)
        return Pool(
            num_envs, lanes.reset, lanes.send, lambda: lanes.recv(rules), spec, lanes.close, lambda: lanes.frame(boxes)
        )

    return HostEnvironment(pool, spec)


class _Lanes:
    """Lanes of a pool: states that `mujoco.rollout` takes some steps on, in its threads."""

    def __init__(
        self,
        model: Any,
        task: Task | None,
        gather: Gather | None,
        goal: str,
        limit: int,
        seeds: np.ndarray,
        threads: int,
    ) -> None:
        import mujoco
        from mujoco import rollout

        self.model, self.task, self.gather, self.limit = model, task, gather, limit
        self.fixed = goal == "far" or task is None or not task.region
        self.rngs = [np.random.default_rng(int(seed)) for seed in seeds]
        threads = min(threads or max(1, _cores()), len(seeds))
        self.data = [mujoco.MjData(model) for _ in range(threads)]
        self.rollout = rollout.Rollout(nthread=threads if threads > 1 else 0)
        self.worker = ThreadPoolExecutor(1)
        self.width = mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
        self.under_way: Future[np.ndarray] | None = None

    def reset(self) -> TimeStep:
        lanes = len(self.rngs)
        self.state = np.zeros((lanes, self.width))
        self.t, self.done = np.zeros(lanes, int), np.zeros(lanes, bool)
        self.target = np.zeros((lanes, len(self.task.target) if self.task else 0))
        if self.gather:
            self.items = np.zeros((lanes, self.gather.items, 2))
            self.left = np.zeros((lanes, self.gather.items), bool)
        for lane in range(lanes):
            self._begin(lane)
        kind, nothing = np.full(lanes, FIRST, np.int8), np.zeros(lanes, np.float32)
        return host_rows(kind, nothing, nothing + 1, self._observation())

    def _begin(self, lane: int) -> None:
        """A new episode. The state is time, positions and velocities, the ant's first in either."""
        rng, state = self.rngs[lane], self.state[lane]
        qpos, qvel = self.model.qpos0.copy(), np.zeros(self.model.nv)
        qpos[:QPOS] += rng.uniform(-0.1, 0.1, QPOS)
        qvel[:QVEL] = 0.1 * rng.standard_normal(QVEL)
        state[0], state[1 : 1 + len(qpos)], state[1 + len(qpos) : 1 + len(qpos) + len(qvel)] = 0, qpos, qvel
        self.t[lane] = 0
        if self.task:
            self.target[lane] = self.task.target if self.fixed else rng.uniform(*np.transpose(self.task.region))
        if self.gather:
            self.items[lane], self.left[lane] = self.gather.scatter(rng), True

    def _ant(self) -> tuple[np.ndarray, np.ndarray]:
        return self.state[:, 1 : 1 + QPOS], self.state[:, 1 + self.model.nq : 1 + self.model.nq + QVEL]

    def _observation(self) -> dict[str, np.ndarray]:
        qpos, qvel = self._ant()
        sensed = [self.gather.sense(qpos, self.items, self.left)] if self.gather else []
        parts = [qpos, qvel, *sensed, self.t[:, None] / 1000]
        seen = {"observation": np.concatenate(parts, axis=1).astype(np.float32)}
        if self.task:
            seen |= {
                "achieved_goal": qpos[:, : self.target.shape[1]].astype(np.float32),
                "desired_goal": self.target.astype(np.float32),
            }
        return seen

    def send(self, actions: Any) -> None:
        control = np.clip(np.asarray(actions, np.float64), -TORQUE, TORQUE)
        if control.shape != (len(self.rngs), 8):
            raise ValueError(f"actions have shape {control.shape}; allowed: {(len(self.rngs), 8)}")

        def advance() -> np.ndarray:
            states, _ = self.rollout.rollout(self.model, self.data, self.state, control[:, None], nstep=SKIP)
            return states[:, -1]

        self.under_way = self.worker.submit(advance)

    def recv(self, rules: Goals | None) -> TimeStep:
        assert self.under_way is not None
        began = self.done
        self.state = np.where(began[:, None], self.state, self.under_way.result())
        self.t = np.where(began, 0, self.t + 1)
        reward, over = np.zeros(len(began), np.float32), np.zeros(len(began), bool)
        if self.gather:
            qpos, _ = self._ant()
            reward, self.left = self.gather.collect(qpos, self.items, self.left)
            fallen = (qpos[:, 2] < 0.2) | (qpos[:, 2] > 1.0) | ~np.isfinite(self.state).all(1)
            reward = np.where(fallen, np.float32(self.gather.fall), reward)
            over = fallen | ~self.left.any(1)
        for lane in np.flatnonzero(began):
            self._begin(int(lane))
        seen = self._observation()
        if rules:
            reward = rules.reward(seen["achieved_goal"], seen["desired_goal"])
        over &= ~began
        self.done = (over | (self.t >= self.limit)) & ~began
        kind = np.where(began, FIRST, np.where(self.done, LAST, MID)).astype(np.int8)
        return host_rows(kind, np.where(began, 0, reward).astype(np.float32), 1 - over.astype(np.float32), seen)

    def close(self) -> None:
        self.worker.shutdown()
        self.rollout.close()

    def frame(self, boxes: list[tuple[str, np.ndarray, np.ndarray]]) -> np.ndarray:
        """Lane 0 from above, drawn without OpenGL."""
        import mujoco

        from envs import topdown

        data = self.data[0]
        mujoco.mj_setState(self.model, data, self.state[0], int(mujoco.mjtState.mjSTATE_FULLPHYSICS))
        mujoco.mj_kinematics(self.model, data)
        marks: list[tuple[np.ndarray, str]] = [(self.target[0, :2], "goal")] if self.task else []
        if self.gather:
            kinds = np.where(np.arange(self.gather.items) < self.gather.items // 2, "goal", "bomb")
            marks = [(at, kind) for at, kind, left in zip(self.items[0], kinds, self.left[0], strict=True) if left]
        return topdown.view(self.model, data, boxes, marks)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
