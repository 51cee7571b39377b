"""Where a run's numbers go: `metrics.csv`, TensorBoard, a progress bar, Weights & Biases.

`Logger.log(kind, env_steps, wall_seconds, metrics)` takes one log point of all runs, each metric as `[runs]` or a
scalar that all share, and passes it to every sink. A *run* is one seed, or one seed at one point of a sweep.
"""

from experiments.reports.sinks.logger import Kind, Logger, Metrics, Part, Sink
from experiments.reports.sinks.metrics_csv import (
    COLUMNS,
    MetricsCsv,
    counted_in,
    read_metrics,
    read_rows,
    salvage,
    series,
)
from experiments.reports.sinks.progress import Progress
from experiments.reports.sinks.tensorboard import TensorBoard
from experiments.reports.sinks.wandb import Wandb

__all__ = [
    "COLUMNS",
    "Kind",
    "Logger",
    "Metrics",
    "MetricsCsv",
    "Part",
    "Progress",
    "Sink",
    "TensorBoard",
    "Wandb",
    "counted_in",
    "read_metrics",
    "read_rows",
    "salvage",
    "series",
]
