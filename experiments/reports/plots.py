"""Learning curves: IQM over seeds with a 95 % bootstrap band, and of a single run each seed faintly behind it."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.reports import files, sinks, stats

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = ("#2066a8", "#d1615d", "#3a8f5c", "#8e6bbf", "#c58a1b", "#3d9fb0", "#b4588f", "#6b6b6b")
MARKERS = ("o", "s", "D", "^")
INK, GRID = "#333333", "#e6e6e6"
NAMES = {"eval_return": "evaluation return", "episode_return": "training return"}
LABEL, TITLE = 48, 80
"""Characters after which a label and a title are shortened."""
POINTS = 400
"""Curves of more points are thinned to this many."""
AXES = {"steps": "environment steps per seed", "updates": "updates per seed"}
"""What the x axis is called, by what runs are counted in."""


def curve(
    source: str | Path | tuple[np.ndarray, np.ndarray],
    out: str | Path,
    title: str = "",
    metric: str = "eval_return",
    reference: float | None = None,
) -> None:
    """Draws one run.

    Args:
      source: a `metrics.csv`, or `(env_steps[points], values[seeds, points])`.
      out: PNG to write.
      title: above the plot.
      metric: a column of the file. Where `eval_return` has no values yet, `episode_return` is drawn.
      reference: draws a dashed line there, such as a score to reach.

    Raises:
      OSError: the file cannot be read, or the plot cannot be written (`files.UnwritableError`).
      ValueError: there is no such column, or the file is damaged.
    """
    if isinstance(source, tuple):
        return _draw({"": source}, out, title, metric, reference)
    steps, values, name = load(source, metric)
    _draw({"": (steps, values)}, out, title, name, reference, xlabel=AXES[sinks.counted_in(source)])


def curves(
    runs: Mapping[str, str | Path],
    out: str | Path,
    title: str = "",
    metric: str = "eval_return",
    published: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
) -> None:
    """Draws several runs into one plot.

    Args:
      runs: label -> run folder.
      out: PNG to write.
      title: above the plot.
      metric: a column of their `metrics.csv`.
      published: label -> `(env_steps[points], scores[points])`, drawn as points.

    Raises:
      OSError: a file cannot be read, or the plot cannot be written (`files.UnwritableError`).
      ValueError: there is no such column, or a file is damaged.
    """
    paths = {label: Path(folder) / "metrics.csv" for label, folder in runs.items()}
    found = {label: sinks.series(sinks.read_metrics(path), metric) for label, path in paths.items()}
    axes = {AXES[sinks.counted_in(path)] for path in paths.values()}
    _draw(found, out, title, metric, published=published, xlabel=" or ".join(sorted(axes)))


def load(path: str | Path, metric: str = "eval_return") -> tuple[np.ndarray, np.ndarray, str]:
    """`(env_steps[points], values[seeds, points], metric)`, with the training return in place of a missing evaluation.

    Raises:
      OSError: the file cannot be read.
      ValueError: there is no such column.
    """
    table = sinks.read_metrics(path)
    steps, values = sinks.series(table, metric)
    if metric == "eval_return" and not steps.size:
        metric = "episode_return"
        steps, values = sinks.series(table, metric)
    return steps, values, metric


def _draw(
    runs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    out: str | Path,
    title: str,
    metric: str,
    reference: float | None = None,
    published: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    xlabel: str = "",
) -> None:
    image = io.BytesIO()
    render(runs, image, title, NAMES.get(metric, metric.replace("_", " ")), reference, published, xlabel=xlabel)
    files.write(Path(out), image.getvalue())


def render(
    runs: Mapping[str, tuple[np.ndarray, np.ndarray]],
    image: io.BytesIO,
    title: str,
    ylabel: str,
    reference: float | None = None,
    published: Mapping[str, tuple[np.ndarray, np.ndarray]] | None = None,
    form: str = "png",
    description: str = "",
    xlabel: str = "",
) -> None:
    """Draws learning curves into memory; the same curves always give the same bytes.

    Args:
      runs: label -> `(env_steps [points], values [seeds, points])`.
      image: what is written to.
      title: above the plot.
      ylabel: beside it.
      reference: draws a dashed line there.
      published: label -> `(env_steps [points], scores [points])`, drawn as points.
      form: "png", "svg" or "pdf".
      description: is kept in the file, but for PDF.
      xlabel: below it; by default environment steps per seed.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.3), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    single = len(runs) == 1
    for i, (label, (steps, values)) in enumerate(runs.items()):
        _curve(
            axes,
            files.plain(label, LABEL),
            *_thin(steps, values),
            COLOURS[i % len(COLOURS)],
            ("-", "--", ":")[i // len(COLOURS) % 3],
            single,
        )
    for i, (label, points) in enumerate((published or {}).items()):
        colour = COLOURS[(len(runs) + i) % len(COLOURS)]
        axes.plot(*points, MARKERS[i % len(MARKERS)], color=colour, label=_shown(files.plain(label, LABEL)))
    if reference is not None:
        axes.axhline(reference, color=INK, linewidth=1, linestyle=(0, (5, 4)), alpha=0.6, zorder=1)
    if not any(steps.size for steps, _ in runs.values()):
        axes.text(0.5, 0.5, "no episode has ended yet", transform=axes.transAxes, ha="center", color=INK)
    else:
        legend = axes.legend(frameon=False, fontsize=9, labelcolor=INK, loc="best", reverse=single)
        for text in legend.get_texts():
            text.set_parse_math(False)
    _style(axes, files.plain(title, TITLE), files.plain(ylabel, LABEL), xlabel or AXES["steps"])
    kept: dict[str, dict[str, Any]] = {
        "png": {"Description": description},
        "svg": {"Date": None, "Description": description},
    }
    metadata = kept.get(form, {"CreationDate": None})
    with warnings.catch_warnings(), mpl.rc_context({"svg.hashsalt": "bellmax", "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", r"Glyph .* missing from font")
        figure.savefig(image, format=form, metadata=metadata)


def lines(
    found: Mapping[str, tuple[np.ndarray, np.ndarray]], out: str | Path, title: str, xlabel: str, ylabel: str
) -> None:
    """Draws a line per label: `(x [points], y [1, points])`.

    Raises:
      OSError: the plot cannot be written (`files.UnwritableError`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.3), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for i, (label, (x, y)) in enumerate(found.items()):
        axes.plot(x, y[0], color=COLOURS[i % len(COLOURS)], linewidth=2, label=_shown(files.plain(label, LABEL)))
    for text in axes.legend(frameon=False, fontsize=9, labelcolor=INK).get_texts():
        text.set_parse_math(False)
    _style(axes, files.plain(title, TITLE), ylabel, xlabel)
    axes.xaxis.set_major_formatter("{x:.1f}")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    files.write(Path(out), image.getvalue())


def _shown(label: str) -> str:
    """A label that the legend shows: it leaves out those that begin with an underscore."""
    return f" {label}" if label.startswith("_") else label


def _thin(steps: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    chosen = (
        np.unique(np.linspace(0, len(steps) - 1, POINTS).round().astype(int)) if len(steps) > POINTS else slice(None)
    )
    return steps[chosen], values[:, chosen]


def _curve(
    axes: "Axes", label: str, steps: np.ndarray, values: np.ndarray, colour: str, dash: str, single: bool
) -> None:
    middle, low, high = stats.band(values)
    seeds = f"{len(values)} seed{'s' if len(values) > 1 else ''}"
    label = f"{label} ({seeds})" if label else f"IQM of {seeds}" if len(values) > 1 else seeds
    marker = "o" if len(steps) == 1 else None
    if len(values) > 1:
        if single:
            axes.plot(steps, values.T, color=colour, linewidth=0.7, alpha=0.28, zorder=2)
        name = "95 % bootstrap interval" if single else None
        axes.fill_between(steps, low, high, color=colour, alpha=0.18, linewidth=0, zorder=3, label=name)
    axes.plot(
        steps, middle, color=colour, linewidth=2, linestyle=dash, marker=marker, label=_shown(label), zorder=4,
        solid_capstyle="round", solid_joinstyle="round",
    )  # fmt: skip


def _style(axes: "Axes", title: str, ylabel: str, xlabel: str) -> None:
    from matplotlib.ticker import EngFormatter

    axes.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10, parse_math=False)
    axes.set_xlabel(xlabel, color=INK)
    axes.set_ylabel(ylabel, color=INK, parse_math=False)
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.tick_params(colors=INK, length=0, labelsize=9)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color("#bbbbbb")
