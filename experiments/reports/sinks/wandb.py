"""Weights & Biases."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reports import files
from experiments.reports.sinks.logger import Kind, Metrics


class Wandb:
    """Weights & Biases: means over the runs, and each run's number as `kind/name/seed_N`."""

    def __init__(self, folder: str | Path, seeds: Sequence[Any], config: Mapping[str, Any], resume: bool = False):
        """Starts a run of the project "bellmax", named as the folder; or goes on with the folder's last one.

        Raises:
          ValueError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise ValueError("--wandb: needs the package wandb, which is not installed (pip install wandb)") from None
        folder, self._seeds = Path(folder), list(seeds)
        id_file = folder / "wandb_id"
        known = id_file.read_text() if resume and id_file.exists() else None
        self._run = wandb.init(
            project="bellmax", name=folder.name, dir=str(folder), config=dict(config), id=known, resume="allow"
        )
        files.write(id_file, self._run.id)

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Sends one log point."""
        point: dict[str, Any] = {"env_steps": env_steps, "wall_seconds": wall_seconds}
        for name, value in metrics.items():
            point |= {f"{kind}/{name}/seed_{seed}": float(x) for seed, x in zip(self._seeds, value, strict=True)}
            if not np.isnan(value).all():
                point[f"{kind}/{name}"] = float(np.nanmean(value))
        self._run.log(point)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()
