"""Tasks of gymnasium to measure with, which need nothing of bellmax: a slow one, and one of frames.

`gymnasium.make("experiments.benchmarks.simulators:Slow-v0")` imports this module, which registers both.
"""

import time
from typing import Any

import gymnasium
import numpy as np

STEP_SECONDS = 1e-3


class Slow(gymnasium.Env):
    """Takes a millisecond of Python for each step, without giving up the interpreter; episodes of 200 steps."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (4,), np.float32)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begins an episode."""
        super().reset(seed=seed)
        self._steps = 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step, whose reward is the action."""
        begun = time.perf_counter()
        self._steps += 1
        while time.perf_counter() - begun < STEP_SECONDS:
            pass
        return self._seen(), float(action), False, self._steps >= 200, {}

    def _seen(self) -> np.ndarray:
        return self.np_random.uniform(-1, 1, 4).astype(np.float32)


class Frames(gymnasium.Env):
    """Frames of 84 x 84 bytes, of which one number changes; episodes of 200 steps."""

    observation_space = gymnasium.spaces.Box(0, 255, (84, 84, 1), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.ndarray, dict]:
        """Begins an episode."""
        super().reset(seed=seed)
        self._steps = 0
        return self._seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict]:
        """One step, whose reward is the action."""
        self._steps += 1
        return self._seen(), float(action), False, self._steps >= 200, {}

    def _seen(self) -> np.ndarray:
        return np.full((84, 84, 1), self._steps, np.uint8)


gymnasium.register("Slow-v0", f"{__name__}:Slow")
gymnasium.register("Frames-v0", f"{__name__}:Frames")
