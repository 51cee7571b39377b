"""Compares runs: one plot of their learning curves and a table of their last scores.

    python -m experiments.compare runs/a runs/b --out compare.png

The table gives the IQM over the seeds with its 95 % bootstrap interval, and the probability that a seed of a run scores
higher than one of the first run. Runs of other tasks or lengths are compared too, but not without a remark.
"""

import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from experiments import reports, run


@dataclass(frozen=True)
class Config:
    """Compares runs: one plot of their learning curves, and a table of their last scores."""

    runs: tuple[str, ...]
    """Run folders, finished or not, and folders of sweeps, whose points are taken; the first is the one that the others
    are measured against. Of several tasks there is also one figure for each experiment over all of them."""
    out: str = "compare.png"
    """File of the plot to write."""
    metric: str = "eval_return"
    """Column of metrics.csv to compare."""
    published: tuple[str, ...] = ()
    """Figures of others to draw beside the curves, each as LABEL=STEPS:SCORE,STEPS:SCORE and so on."""


def compare(config: Config) -> list[reports.comparison.Run]:
    """Reads the runs, draws the plot, prints the table.

    Raises:
      ValueError: a bad folder, metric, figure or output file.
    """
    from experiments import reports

    beside = reports.comparison.figures(config.published)
    folders = reports.comparison.expanded(config.runs)
    labels = reports.comparison.labels(folders)
    runs = [
        reports.comparison.read(folder, config.metric, label) for folder, label in zip(folders, labels, strict=True)
    ]
    tasks = sorted({each.summary["env"] for each in runs})
    try:
        reports.plots.curves(
            {each.label: each.folder for each in runs}, config.out, ", ".join(tasks), config.metric, beside
        )
    except OSError as error:
        raise ValueError(f"--out {config.out}: cannot be written ({error.strerror})") from None
    print(reports.comparison.table(runs))
    if len(tasks) > 1:
        reports.comparison.over_tasks(runs, Path(config.out))
    print(*reports.comparison.remarks(runs), f"plot: {config.out}", sep="\n")
    return runs


def main(argv: list[str] | None = None) -> None:
    """The command. A bad folder or flag ends it with one line on stderr and exit code 2."""
    import tyro

    arguments = sys.argv[1:] if argv is None else argv
    positional = (tyro.conf.PositionalRequiredArgs,)
    config = tyro.cli(Config, args=arguments, prog="python -m experiments.compare", config=positional)
    try:
        if not config.runs:
            raise ValueError("no run folders given")
        compare(config)
    except ValueError as error:
        run.fail(error)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` is no error
    main()
