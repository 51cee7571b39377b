"""Goal tasks of gymnasium, which pay by their own `compute_reward`."""

from typing import Any

import gymnasium as gym
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import make
from envs.host import TaskError
from tests.experiments.running import rows as rows_of
from tests.experiments.running import succeed


class Reach(gym.Env):
    """A point on a plane, and where it is to be, within 0.5; `style` is how it pays."""

    def __init__(self, style: str = "rows") -> None:
        box = lambda n: gym.spaces.Box(-4, 4, (n,), np.float64)  # noqa: E731
        self.style, self.action_space = style, gym.spaces.Box(-1, 1, (2,), np.float32)
        self.observation_space = gym.spaces.Dict(
            {"observation": box(2), "achieved_goal": box(2), "desired_goal": box(2)}
        )

    def compute_reward(self, achieved: Any, desired: Any, info: Any) -> Any:
        if self.style == "broken" and np.ndim(achieved) > 1:
            raise ValueError("no goal")
        assert achieved.dtype == np.float64
        if self.style == "one":
            x, y = achieved  # of one row only
            return -float(np.hypot(x - desired[0], y - desired[1]) > 0.5)
        if self.style == "broken":
            raise ValueError("no goal")
        return -(np.linalg.norm(achieved - desired, axis=-1) > 0.5).astype(np.float32)

    def compute_terminated(self, achieved: Any, desired: Any, info: Any) -> bool:
        return self.style == "one"

    def observe(self) -> dict[str, np.ndarray]:
        return {"observation": self.place, "achieved_goal": self.place, "desired_goal": self.goal}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.goal = np.zeros(2), self.np_random.uniform(-2, 2, 2)
        return self.observe(), {}

    def step(self, action: np.ndarray) -> Any:
        self.place = np.clip(self.place + action, -4, 4)
        met = bool(np.linalg.norm(self.place - self.goal) <= 0.5)
        return self.observe(), float(met) - 1, met and self.style == "one", False, {}


if "BellmaxReach-v0" not in gym.registry:
    gym.register("BellmaxReach-v0", Reach, max_episode_steps=10)


@pytest.mark.parametrize("style", ["rows", "one"])
def test_goals_pay_what_the_task_says(style: str) -> None:
    spec = make("gymnasium/BellmaxReach-v0", style=style).spec
    assert spec.goals is not None and spec.goals.terminates == (style == "one")
    rng = np.random.default_rng(0)
    achieved, desired = rng.uniform(-1, 1, (2, 3, 5, 4, 2)).astype(np.float32)
    expected = -(np.linalg.norm(achieved - desired, axis=-1) > 0.5).astype(np.float32)
    assert 0 < -expected.sum() < expected.size
    compiled = jax.jit(spec.goals.reward)
    for found in (
        spec.goals.reward(achieved, desired),
        compiled(achieved, desired),
        jax.vmap(compiled)(jnp.asarray(achieved), jnp.asarray(desired)),
    ):
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, expected)
    one_goal = jax.jit(jax.vmap(spec.goals.reward, (0, None)))(achieved, desired[0, 0, 0])
    np.testing.assert_array_equal(one_goal, -(np.linalg.norm(achieved - desired[0, 0, 0], axis=-1) > 0.5).astype(float))
    np.testing.assert_array_equal(jax.jit(spec.goals.reached)(achieved, desired), expected == 0)
    np.testing.assert_array_equal(spec.goals.reached(achieved, desired), expected == 0)


def test_tasks_without_goals_have_none() -> None:
    assert make("gymnasium/CartPole-v1").spec.goals is None


def test_faults_of_compute_reward_say_where_they_are() -> None:
    spec = make("gymnasium/BellmaxReach-v0", style="broken").spec
    with pytest.raises(TaskError, match="gymnasium/BellmaxReach-v0: its compute_reward raised ValueError: no goal"):
        spec.goals.reward(np.zeros((3, 2), np.float32), np.zeros((3, 2), np.float32))


def test_hindsight_learns_from_them(tmp_path: Any) -> None:
    words = ["--env", "gymnasium/BellmaxReach-v0", "--num-envs", 2, "--steps", 132, "--log-every", 66, "--seeds", 2]
    words += ["--agent.hidden", 8, "--agent.batch-size", 16, "--agent.unroll", 11, "--agent.updates", 2]
    succeed("her", *words, "--eval-episodes", 4, "--quiet", "--out", tmp_path / "run")
    found = [row for row in rows_of(tmp_path / "run") if row["kind"] == "eval"]
    assert found and all(0 <= float(row["eval_success"]) <= 1 for row in found)
