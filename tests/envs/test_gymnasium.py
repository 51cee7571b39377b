import sys
import traceback
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs import make
from envs.adapters.gymnasium import gymnasium
from envs.base import Box, Discrete, MultiDiscrete
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


class Lender(gym.vector.VectorEnv):
    """Counts steps in one array, which every step gives and the next one overwrites."""

    metadata = {"autoreset_mode": gym.vector.AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, **_: Any) -> None:
        self.num_envs, self.buffer = num_envs, np.zeros((num_envs, 1), np.float32)
        self.single_observation_space = gym.spaces.Box(0, np.inf, (1,), np.float32)
        self.single_action_space = gym.spaces.Discrete(2)
        self.observation_space = gym.vector.utils.batch_space(self.single_observation_space, num_envs)
        self.action_space = gym.vector.utils.batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        self.buffer[:] = 0
        return self.buffer, {}

    def step(self, actions: Any) -> Any:
        self.buffer += 1
        nothing, never = np.zeros(self.num_envs), np.zeros(self.num_envs, bool)
        return self.buffer, nothing, never, never, {}


def test_rows_stay_as_they_were_when_the_task_overwrites_its_own() -> None:
    """Of tasks that step all lanes themselves, gymnasium copies nothing."""
    space = gym.spaces.Box(0, np.inf, (1,), np.float32)
    made = lambda **_: Echo(observation=space, element=np.zeros(1, np.float32))  # noqa: E731
    gym.register("BellmaxLender-v0", made, vector_entry_point=Lender)
    rows = roll(gymnasium("BellmaxLender-v0", vectorization="vector_entry_point").pool(2, 0), 4)
    gym.registry.pop("BellmaxLender-v0")
    np.testing.assert_array_equal(rows.observation[..., 0], np.arange(len(rows.observation))[:, None].repeat(2, 1))


def test_continuous_actions_are_clipped() -> None:
    env = gymnasium("Pendulum-v1")
    assert env.spec.action == Box((1,), -2.0, 2.0)
    wild, tame = (roll(env.pool(3, 0), 3, lambda _, a=a: np.full((3, 1), a)) for a in (9.0, 2.0))
    assert (wild.reward == tame.reward).all()
    check(env.pool(3, 0), wild, ends=False)


class Echo(gym.Env):
    """Observes an element of the space that it is given; the reward is the sum of the action."""

    def __init__(self, observation: Any = None, action: Any = None, element: Any = None) -> None:
        self.observation_space = gym.spaces.Discrete(2) if observation is None else observation
        self.action_space = gym.spaces.Discrete(2) if action is None else action
        self.element = 0 if element is None else element

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.element, {}

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(np.asarray(action, self.action_space.dtype)), action
        return (
            self.element,
            float(np.sum(action * np.arange(1, 1 + np.size(action)).reshape(np.shape(action)))),
            *[False] * 2,
            {},
        )


if "BellmaxEcho-v0" not in gym.registry:
    gym.register("BellmaxEcho-v0", Echo, max_episode_steps=5)


@pytest.mark.parametrize("shape", [(), (2, 2), (3,)])
def test_actions_of_any_shape_are_vectors(shape: tuple[int, ...]) -> None:
    env = gymnasium("BellmaxEcho-v0", action=gym.spaces.Box(-1, 2, shape))
    size = int(np.prod(shape))
    assert isinstance(env.spec.action, Box) and env.spec.action.shape == (size,)
    np.testing.assert_array_equal(env.spec.action.low, np.full(size, -1))
    pool = env.pool(2, 0)
    pool.reset()
    actions = np.linspace(-2, 3, 2 * size, dtype=np.float32).reshape(2, size)
    pool.send(actions)
    np.testing.assert_allclose(pool.recv().reward, np.clip(actions, -1, 2) @ np.arange(1, 1 + size), rtol=1e-6)
    with pytest.raises(ValueError, match=rf"allowed: \(2, {size}\)"):
        pool.send(np.zeros((2, size + 1)))


@pytest.mark.parametrize(
    ("space", "nums", "start"),
    [
        (gym.spaces.MultiDiscrete([2, 3]), (2, 3), 0),
        (gym.spaces.MultiDiscrete([[2, 3], [1, 4]], start=[[5, 6], [0, -2]]), (2, 3, 1, 4), np.array([5, 6, 0, -2])),
        (gym.spaces.MultiBinary((2, 2)), (2,) * 4, 0),
        (gym.spaces.Box(-1, 1, (3,), np.int8), (3,) * 3, -1),
        (gym.spaces.Box(0, 255, (), np.uint8), (256,), 0),
    ],
)
def test_whole_numbers_are_chosen_at_once(space: Any, nums: tuple[int, ...], start: Any) -> None:
    env = gymnasium("BellmaxEcho-v0", action=space)
    assert env.spec.action == MultiDiscrete(nums)
    pool = env.pool(2, 0)
    pool.reset()
    for actions in (np.zeros((2, len(nums)), np.int32), np.array([nums] * 2, np.int32) - 1):
        pool.send(actions)
        np.testing.assert_allclose(pool.recv().reward, (actions + start) @ np.arange(1, 1 + len(nums)))
    with pytest.raises(ValueError, match=rf"allowed: \(2, {len(nums)}\)"):
        pool.send(np.zeros((2, len(nums) + 1), int))


def test_bounds_as_large_as_floats_are_none() -> None:
    env = gymnasium("BellmaxEcho-v0", action=gym.spaces.Box(-3e38, 3e38, (1,)))
    assert np.isneginf(env.spec.action.low) and np.isposinf(env.spec.action.high)  # type: ignore[union-attr]


def test_nested_observations_are_one_dict() -> None:
    box, number = gym.spaces.Box(0, 255, (2,), np.uint8), gym.spaces.Discrete(3, start=2)
    inner = gym.spaces.Dict({"far": box, "none": gym.spaces.Box(0, 1, (0,))})
    many = gym.spaces.MultiDiscrete([2, 3])
    space = gym.spaces.Dict({"eyes": inner, "hands": gym.spaces.Tuple([number, many])})
    element = {
        "eyes": {"far": np.array([7, 9], np.uint8), "none": np.zeros(0, np.float32)},
        "hands": (np.int64(4), np.array([1, 2])),
    }
    env = gymnasium("BellmaxEcho-v0", observation=space, element=element)
    assert set(env.spec.observation) == {"eyes.far", "hands.0", "hands.1"}
    assert env.spec.observation["hands.0"] == Discrete(3) and env.spec.observation["hands.1"].shape == (5,)
    seen = env.pool(2, 0).reset().observation
    np.testing.assert_array_equal(seen["eyes.far"], [[7, 9]] * 2)
    np.testing.assert_array_equal(seen["hands.0"], [2, 2])
    np.testing.assert_array_equal(seen["hands.1"], [[0, 1, 0, 0, 1]] * 2)


@pytest.mark.parametrize(
    ("low", "high", "source", "dtype"),
    [
        (0, 10**6, np.int64, np.int32),
        (0, 3 * 10**9, np.int64, np.float32),
        (-(2**40), 0, np.int64, np.float32),
        (-np.inf, np.inf, np.int64, np.float32),
        (0, 2**32 - 1, np.uint32, np.float32),
        (0, 7, np.uint32, np.int32),
        (-5, 5, np.int8, np.int32),
        (0, 255, np.uint8, np.uint8),
        (0, 2**16 - 1, np.uint16, np.int32),
    ],
)
def test_whole_numbers_do_not_wrap(low: float, high: float, source: Any, dtype: Any) -> None:
    space = gym.spaces.Box(low, high, (2,), source)
    element = np.array([space.low[0], space.high[0]])
    env = gymnasium("BellmaxEcho-v0", observation=space, element=element)
    assert env.spec.observation.dtype == dtype
    seen = env.pool(1, 0).reset().observation
    assert seen.dtype == dtype
    np.testing.assert_allclose(seen[0].astype(float), element.astype(float), rtol=1e-7)
    np.testing.assert_allclose(env.spec.observation.high[0], high, rtol=1e-7)


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
    far = spaces.Box(np.iinfo(np.int64).min, np.iinfo(np.int64).max, (2,), np.int64)
    for action in (spaces.Tuple([spaces.Discrete(2)]), spaces.Box(0, 1, (0,)), spaces.Box(0, 1024, (2,), int), far):
        with pytest.raises(ValueError, match=r"takes actions of .*; allowed: a Discrete, a float Box, or a Multi"):
            gymnasium("BellmaxOdd-v0", action=action)
    with pytest.raises(ValueError, match="observes a Text; allowed: a Box, a Discrete"):
        gymnasium("BellmaxOdd-v0", observation=spaces.Tuple([spaces.Text(2)]))
    for empty in (spaces.Box(0, 1, (0,)), spaces.Dict({"a": spaces.Box(0, 1, (2, 0))})):
        with pytest.raises(ValueError, match=r"observes nothing, .*; allowed: a Box"):
            gymnasium("BellmaxOdd-v0", observation=empty)
    twice = spaces.Dict({"a.b": spaces.Discrete(2), "a": spaces.Dict({"b": spaces.Discrete(2)})})
    with pytest.raises(ValueError, match=r"observes \['a.b', 'a.b'\]; allowed: names that differ"):
        gymnasium("BellmaxOdd-v0", observation=twice)
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
