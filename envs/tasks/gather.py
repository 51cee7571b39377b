"""Apples and bombs for an ant: what it senses of them, and what they pay.

Duan et al., "Benchmarking deep reinforcement learning for continuous control", ICML 2016, in the variant of the code
released with it, rllab's GatherEnv around its AntEnv: things lie on the 35 free places with even coordinates in
{-6, -4, ..., 4}², a fall pays -10 and nothing else, and ends the episode, as collecting the last thing does.
"""

from typing import NamedTuple

import numpy as np


class Gather(NamedTuple):
    """Eight apples (+1) and as many bombs (-1), scattered over a square around the start."""

    items: int = 16  # the first half are apples
    reach: float = 6.0  # half side of the square, m
    grid: float = 2.0  # between places, m; of the square's two ends only the lower one is a place
    spacing: float = 2.0  # free space around the start, m
    catch: float = 1.0  # distance at which something is collected, m
    bins: int = 10  # of the sensors, for apples and for bombs
    sight: float = 6.0  # their range, m
    span: float = np.pi  # their field of view
    fall: float = -10.0  # what a fall pays

    @property
    def size(self) -> int:
        """Numbers that are sensed."""
        return 2 * self.bins

    def scatter(self, rng: np.random.Generator) -> np.ndarray:
        """Places on the grid, all different, `[items, 2]`."""
        line = np.arange(-self.reach, self.reach, self.grid)
        grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
        free = grid[(grid**2).sum(1) >= self.spacing**2]
        return free[rng.permutation(len(free))[: self.items]].astype(float)

    def collect(self, qpos: np.ndarray, items: np.ndarray, left: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What lanes are paid, float32 `[N]`, and what is left, `[N, items]`.

        Args:
          qpos: `[N, 15]`.
          items: places `[N, items, 2]`.
          left: booleans `[N, items]`.
        """
        far = np.linalg.norm(items - qpos[:, None, :2], axis=-1)
        taken = left & (far < self.catch)
        sign = np.where(np.arange(self.items) < self.items // 2, 1, -1)
        return (taken * sign).sum(1).astype(np.float32), left & ~taken

    def sense(self, qpos: np.ndarray, items: np.ndarray, left: np.ndarray) -> np.ndarray:
        """1 - distance / range of the nearest apple, and of the nearest bomb, in each of `bins` sectors ahead.

        Returns:
          `[N, 2 bins]`, apples first; 0 where nothing is in sight.
        """
        w, x, y, z = qpos[:, 3:7].T
        heading = np.arctan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))
        away = items - qpos[:, None, :2]
        far = np.linalg.norm(away, axis=-1)
        angle = np.arctan2(away[..., 1], away[..., 0]) - heading[:, None]
        angle = (angle + np.pi) % (2 * np.pi) - np.pi
        seen = left & (far <= self.sight) & (np.abs(angle) <= self.span / 2)
        sector = np.clip(((angle + self.span / 2) / self.span * self.bins).astype(int), 0, self.bins - 1)
        sector = sector + self.bins * (np.arange(self.items) >= self.items // 2)
        sensed = np.zeros((len(qpos), self.size))
        lane = np.broadcast_to(np.arange(len(qpos))[:, None], sector.shape)
        np.maximum.at(sensed, (lane[seen], sector[seen]), 1 - far[seen] / self.sight)
        return sensed
