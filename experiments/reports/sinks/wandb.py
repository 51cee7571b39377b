"""Weights & Biases."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.reports import files
from experiments.reports.sinks.logger import Kind, Metrics
from experiments.reports.sinks.tags import tag

IDS = "wandb_ids.json"
"""In the run folder: the id of each seed's W&B run."""


class Wandb:
    """A W&B run for each seed, all of them in one group, with environment steps as the x axis."""

    def __init__(
        self,
        folder: str | Path,
        seeds: Sequence[object],
        config: Mapping[str, object],
        resume: bool = False,
        *,
        project: str = "bellmax",
        tags: Sequence[str] = (),
        group: str = "",
        axis: str = "env_steps",
    ):
        """Starts the W&B runs, or goes on with those of the folder.

        Several runs in one process need W&B 0.19.10 or newer.

        Args:
          folder: of the run, where the ids are kept; each W&B run is named as the folder and the seed.
          seeds: label of each run.
          config: the flags; of each W&B run, `seed` is its own.
          resume: go on with the W&B runs whose ids the folder has, and start those that it has not.
          project: where the runs go.
          tags: what the runs are tagged with.
          group: what the runs belong to; by default the folder's name.
          axis: what the x axis is called.

        Raises:
          ValueError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise ValueError("--wandb: needs the package wandb, which is not installed (pip install wandb)") from None
        folder = Path(folder).resolve()
        known = _ids(folder / IDS) if resume else {}
        self._runs: list[Any] = []
        self._axis = axis
        with contextlib.ExitStack() as stack:  # ends those that were started where one cannot be
            for seed in seeds:
                run = wandb.init(
                    project=project, group=group or folder.name, name=f"{folder.name} seed {seed}", tags=list(tags),
                    dir=str(folder), config={**config, "seed": seed}, id=known.get(str(seed)), resume="allow",
                    reinit="create_new",
                )  # fmt: skip
                stack.callback(run.finish)
                run.define_metric(axis)
                run.define_metric("*", step_metric=axis)
                self._runs.append(run)
            known = {str(seed): run.id for seed, run in zip(seeds, self._runs, strict=True)}
            files.write(folder / IDS, json.dumps(known, indent=2) + "\n")
            self._open = stack.pop_all()

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Sends one log point to each run, without what is NaN."""
        for i, run in enumerate(self._runs):
            own = {tag(kind, name): float(value[i]) for name, value in metrics.items() if not np.isnan(value[i])}
            run.log({self._axis: env_steps, tag("train", "wall_seconds"): wall_seconds, **own})

    def close(self) -> None:
        """Ends the runs."""
        self._open.close()


def _ids(path: Path) -> dict[str, str]:
    """The ids that a run folder has by seed; none if they cannot be read."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(files.read(path))
        if isinstance(found, dict) and all(isinstance(each, str) for each in found.values()):
            return found
    return {}
