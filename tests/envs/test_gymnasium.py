import sys
import traceback
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs import make
from envs.adapters.gymnasium import gymnasium
from envs.base import Box, Discrete
from envs.host import TaskError
from tests.envs.test_envpool import check, check_runs_share_a_pool, roll


class Counter(gym.Env):
    """Counts steps; action 1, the second of {1, 2}, ends the episode; reward is the count."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 4}  # noqa: RUF012

    def __init__(self, size: int = 2, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.action_space = gym.spaces.Discrete(2, start=1)
        self.observation_space = gym.spaces.Dict(
            {
                "count": gym.spaces.Box(0, np.inf, (size,), np.float64),
                "luck": gym.spaces.Discrete(1000, start=5),
                "flag": gym.spaces.MultiBinary(3),
                "image": gym.spaces.Box(0, 255, (4, 4, 3), np.uint8),
            }
        )

    def observe(self) -> dict[str, Any]:
        count = np.full(self.observation_space["count"].shape, float(self.count))
        image = np.full((4, 4, 3), self.count, np.uint8)
        return {"count": count, "luck": np.int64(self.luck), "flag": np.ones(3, np.int8), "image": image}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.count, self.luck = 0, int(self.np_random.integers(5, 1005))
        return self.observe(), {}

    def step(self, action: int) -> Any:
        assert action in (1, 2)
        self.count += 1
        return self.observe(), float(self.count), bool(action == 2), False, {}

    def render(self) -> np.ndarray:
        return self.observe()["image"]


class Bad(Counter):
    """Does `what` wrongly, in the second episode if it is to raise."""

    metadata = {"render_modes": None}  # noqa: RUF012

    def __init__(self, what: str = "nothing") -> None:
        super().__init__()
        self.what, self.episode = what, 0
        if what == "constructor":
            len(3)  # type: ignore[arg-type]

    def reset(self, **options: Any) -> Any:
        self.episode += 1
        if self.what == "raises in reset" and self.episode > 1:
            raise ValueError("no room")
        returned = super().reset(**options)
        return returned[0] if self.what == "old reset" else returned

    def step(self, action: int) -> Any:
        if self.what == "raises in step" and self.episode > 1:
            raise ValueError("no way")
        observation, reward, terminated, truncated, info = super().step(action)
        if self.what == "old step":
            return observation, reward, terminated, info
        return observation, np.array([reward]) if self.what == "rewards" else reward, terminated, truncated, info


class Screen(Counter):
    """Opens a window with its renderer, where there is none."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        if render_mode is not None:
            raise OSError("no screen")


class Keywordless(Counter):
    """Lists a mode and takes none."""

    def __init__(self) -> None:
        super().__init__()


class Odd(Counter):
    def __init__(self, **spaces: Any) -> None:
        super().__init__()
        self.action_space = spaces.get("action", self.action_space)
        self.observation_space = spaces.get("observation", self.observation_space)


if "BellmaxCounter-v0" not in gym.registry:
    gym.register("BellmaxCounter-v0", Counter, max_episode_steps=4)
    gym.register("BellmaxOdd-v0", Odd)
    gym.register("BellmaxBad-v0", Bad, max_episode_steps=4)
    gym.register("BellmaxScreen-v0", Screen)
    gym.register("BellmaxKeywordless-v0", Keywordless)

pytestmark = pytest.mark.filterwarnings("ignore:.*WARN:UserWarning", "ignore:.*WARN:DeprecationWarning")
"""gymnasium's own, of tasks that do things wrongly."""

NEVER, ALWAYS = (lambda _: np.zeros(3, int)), (lambda _: np.ones(3, int))


def test_registered_task() -> None:
    env = make("gymnasium/BellmaxCounter-v0", size=3)
    assert env.spec.name == "gymnasium/BellmaxCounter-v0"
    assert (env.spec.action, env.spec.time_limit) == (Discrete(2), 4)
    assert env.spec.observation["luck"] == Discrete(1000)
    assert env.spec.observation["count"].shape == (3,)
    pool = env.pool(3, 0)
    kind, reward, discount, observation = rows = roll(pool, 12, NEVER)
    check(pool, rows)
    # Truncation: the true final observation, discount 1, and a FIRST row after it.
    assert (kind[:, 0] == [FIRST, MID, MID, MID, LAST] * 2 + [FIRST, MID, MID]).all()
    assert (reward[:, 0] == [0, 1, 2, 3, 4] * 2 + [0, 1, 2]).all()
    assert (observation["count"][..., 0] == reward).all()
    assert (discount == 1).all()
    pool.close()


def test_only_films_open_a_renderer() -> None:
    env = gymnasium("BellmaxCounter-v0")
    pool = env.pool(2, 0)
    assert pool.frame is None
    pool.close()
    lane = env.filmed(0)
    seen = roll(lane, 2, lambda _: np.zeros(1, int)).observation["image"]
    assert (lane.frame() == seen[-1, 0]).all() and lane.num_envs == 1
    assert env.spec.fps == 4
    lane.close()
    for id, message in (("Screen", "OSError: no screen"), ("Keywordless", "unexpected keyword argument 'render_mode'")):
        env = gymnasium(f"Bellmax{id}-v0")
        pool = env.pool(2, 0)
        assert (roll(pool, 2, lambda _: np.zeros(2, int)).step_type == [[FIRST] * 2, [MID] * 2, [MID] * 2]).all()
        pool.close()
        with pytest.raises(ValueError, match=f"gymnasium/Bellmax{id}-v0 cannot be drawn: .*{message}"):
            env.filmed(0)
    assert gymnasium("BellmaxBad-v0").filmed is None
    assert gymnasium("BellmaxBad-v0").spec.fps == 30


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("raises in reset", "its step raised ValueError: no room"),  # lanes reset themselves
        ("raises in step", "its step raised ValueError: no way"),
        ("old step", r"its step returned 4 values; allowed: 5, observation, reward, terminated, truncated, info"),
        ("old reset", r"its reset returned a dict; allowed: 2, observation, info"),
        ("rewards", r"its step returned a reward of shape \(1,\); allowed: a number"),
    ],
)
def test_faults_of_a_task_say_where_they_are(what: str, message: str) -> None:
    with pytest.raises(TaskError, match=f"gymnasium/BellmaxBad-v0: {message}") as caught:
        roll(gymnasium("BellmaxBad-v0", what=what).pool(2, 0), 8, lambda _: np.zeros(2, int))
    if "raises" in what:
        assert "in step" in "".join(traceback.format_exception(caught.value))  # its own lines are told
        assert traceback.extract_tb(caught.value.__cause__.__traceback__)[-1].filename == __file__


def test_faults_of_constructors_are_no_refused_options() -> None:
    with pytest.raises(TaskError, match=r"BellmaxBad-v0: its constructor raised object of type 'int' has no len"):
        gymnasium("BellmaxBad-v0", what="constructor")


def test_rewards_of_another_shape_in_processes() -> None:
    pool = gymnasium("BellmaxBad-v0", what="rewards", vectorization="async").pool(2, 0)
    with pytest.raises(TaskError, match=r"BellmaxBad-v0: its rewards have shape \(2, 1\); allowed: \(2,\), numbers"):
        roll(pool, 2, lambda _: np.zeros(2, int))
    pool.close()


def test_a_limit_that_is_taken_away() -> None:
    assert gymnasium("BellmaxCounter-v0", max_episode_steps=-1).spec.time_limit is None


def test_termination_and_restart() -> None:
    pool = gymnasium("BellmaxCounter-v0").pool(3, 0)
    rows = roll(pool, 5, ALWAYS)
    check(pool, rows)
    assert (rows.step_type[:, 1] == [FIRST, LAST] * 3).all()
    assert (rows.discount[:, 1] == [1, 0] * 3).all()
    assert (pool.reset().step_type == FIRST).all()
    pool.send(np.zeros(3, int))
    assert (pool.recv().step_type == MID).all()


def test_termination_on_the_last_allowed_step() -> None:
    actions = iter([0, 0, 0, 1, 0])
    rows = roll(gymnasium("BellmaxCounter-v0").pool(1, 0), 5, lambda _: np.array([next(actions)]))
    assert rows.step_type[4, 0] == LAST
    assert rows.discount[4, 0] == 0


def test_seeds_share_no_lane() -> None:
    env = gymnasium("BellmaxCounter-v0", max_episode_steps=1)
    luck = [roll(env.pool(4, seed), 19).observation["luck"][::2].T for seed in (0, 1, 0)]
    assert (luck[0] == luck[2]).all()
    assert len(np.unique(np.concatenate(luck[:2]), axis=0)) == 8


@pytest.mark.parametrize("vectorization", ["sync", "vector_entry_point"])
def test_runs_share_a_pool(vectorization: str) -> None:
    check_runs_share_a_pool(gymnasium("CartPole-v1", vectorization=vectorization), 60)


@pytest.mark.parametrize("vectorization", ["async", "vector_entry_point"])
def test_other_vectorizations(vectorization: str) -> None:
    slow = gymnasium("CartPole-v1", max_episode_steps=12)
    fast = gymnasium("CartPole-v1", max_episode_steps=12, vectorization=vectorization)
    assert str(fast.spec) == str(slow.spec)
    pool = fast.pool(3, 0)
    rows = roll(pool, 30)
    check(pool, rows)
    if vectorization == "async":
        assert (rows.observation == roll(slow.pool(3, 0), 30).observation).all()
    pool.close()
    lane = fast.filmed(0)
    lane.reset()
    frame = lane.frame()
    assert (frame.shape, frame.dtype) == ((400, 600, 3), np.uint8)
    lane.close()


def test_continuous_actions_are_clipped() -> None:
    env = gymnasium("Pendulum-v1")
    assert env.spec.action == Box((1,), -2.0, 2.0)
    wild, tame = (roll(env.pool(3, 0), 3, lambda _, a=a: np.full((3, 1), a)) for a in (9.0, 2.0))
    assert (wild.reward == tame.reward).all()
    check(env.pool(3, 0), wild, ends=False)


def test_module_that_registers(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import gymnasium\n"
        "gymnasium.register('BellmaxFar-v0', 'tests.envs.test_gymnasium:Counter', max_episode_steps=3)\n"
    )
    (tmp_path / "far_tasks.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    env = make("gymnasium/far_tasks:BellmaxFar-v0")
    assert env.spec.time_limit == 3
    check(env.pool(2, 0), roll(env.pool(2, 0), 8))
    gym.registry.pop("BellmaxFar-v0")
    sys.modules.pop("far_tasks")


def test_refusals() -> None:
    spaces = gym.spaces
    for action in (spaces.MultiDiscrete([2, 2]), spaces.Tuple([spaces.Discrete(2)]), spaces.Box(0, 3, (2,), np.int32)):
        with pytest.raises(ValueError, match=r"takes actions of .*; allowed: Discrete or a float Box"):
            gymnasium("BellmaxOdd-v0", action=action)
    with pytest.raises(ValueError, match="observes a Tuple; allowed"):
        gymnasium("BellmaxOdd-v0", observation=spaces.Tuple([spaces.Discrete(2)]))
    with pytest.raises(ValueError, match="unknown gymnasium task 'BellmaxCountr-v0'; closest: BellmaxCounter-v0"):
        gymnasium("BellmaxCountr-v0")
    with pytest.raises(ValueError, match=r"cannot be made with {'colour': 3}: .*colour"):
        gymnasium("BellmaxCounter-v0", colour=3)
    with pytest.raises(ValueError, match="no_such_module"):
        gymnasium("no_such_module:Task-v0")
    with pytest.raises(ValueError, match="vectorization is 'threads'; allowed: sync"):
        gymnasium("BellmaxCounter-v0", vectorization="threads")
    with pytest.raises(ValueError, match="no vector entry point"):
        gymnasium("BellmaxCounter-v0", vectorization="vector_entry_point")
    with pytest.raises(ValueError, match=r"shape \(3,\); allowed: \(2,\)"):
        gymnasium("BellmaxCounter-v0").pool(2, 0).send(np.zeros(3, int))
