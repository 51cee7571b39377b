"""The life of a run: chunks, log points, evaluations, checkpoints, and how it ends."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.adapters import atari
from experiments import reports
from experiments.drivers import joining
from experiments.reports.sinks import Logger, MetricsCsv, Part, Progress, TensorBoard, Wandb
from experiments.run import actors, flags, records
from experiments.run.checkpoint import Checkpointer
from experiments.run.prepare import Prepared
from experiments.run.session import MARK, Session, label

if TYPE_CHECKING:
    from experiments.run.flags import Common

CHECKPOINTS, CURVE = "checkpoints", "curve.png"
LONG = 30 * 60
"""Seconds of training from which on a run says, after its first chunk, how long it takes."""


def train(prepared: Prepared) -> dict[str, Any]:
    """Runs to the end, or until Ctrl-C, a dead seed or a disk that takes no more stops it.

    Returns:
      The content of summary.json; with a sweep, a dict of them by point.

    Raises:
      ValueError: the checkpoint to resume is of another run, or another process holds the folder.
      records.StoppedError: Ctrl-C, after a checkpoint; a seed died under `--nan stop`; or something cannot be written.
    """
    with records.Interrupt() as interrupt:
        try:
            return run(prepared, interrupt)
        except reports.files.UnwritableError as error:
            raise records.StoppedError(f"{error}; {left(prepared)}") from None


def left(prepared: Prepared) -> str:
    """What there is of a run that could not be written any further, and how to go on with it."""
    if not prepared.folder.is_dir():
        return "the run folder is gone"
    if reports.files.kind(prepared.folder / CHECKPOINTS) not in ("nothing", "a folder"):
        return "the folder of its checkpoints is gone"
    kept = Checkpointer(prepared.folder / CHECKPOINTS).kept(prepared.config.counted)
    return f"{kept}; when that is mended, to go on: {prepared.experiment.command} --resume {prepared.folder}"


def run(prepared: Prepared, interrupt: records.Interrupt) -> dict[str, Any]:
    """`train`, until `interrupt` is raised.

    Raises:
      reports.files.UnwritableError: something cannot be written.
      ValueError, records.StoppedError: as `train`.
    """
    experiment, config, points, plan, driver, lay, folder, _ = prepared
    with contextlib.ExitStack() as stack:
        stack.callback(driver.close)
        if actors.follows(config):  # what it writes is of no use to anybody
            prepared = prepared._replace(folder=Path(stack.enter_context(tempfile.TemporaryDirectory())))
        folders = point_folders(prepared.folder, points)
        stack.enter_context(records.locked(prepared.folder, "--resume" if config.resume else "--out"))
        refuse_links(prepared, folders)
        marks = [path / MARK for path in {prepared.folder, *folders}]
        checkpoints = stack.enter_context(Checkpointer(folder / CHECKPOINTS, keep=config.keep, marks=marks))
        policies = [stack.enter_context(Checkpointer(path / "policies", keep=1)) for path in folders]
        session = Session(prepared, checkpoints, policies)
        stack.callback(session.compilation.close)
        if not actors.follows(config):
            write_configs(prepared, folders)
        at, taken = session.env_steps if config.resume else None, session.results.train_seconds
        total = plan.env_steps(plan.chunks)
        progress = Progress(total, prepared.lay.runs, at or 0, config.quiet, counted=config.counted)
        begun, raised = session.chunk, joining.anyone(lay)
        session.evolution.begin(session.state.agent, at if begun else None)
        log = stack.enter_context(open_log(prepared, folders, at, begun > 0, progress))
        stopped = raised(interrupt.raised)
        while session.chunk < plan.chunks and not stopped:
            session.advance(log)
            if session.chunk == begun + 1:
                foretell(prepared, plan.chunks - session.chunk, session.results.train_seconds - taken, progress)
            stopped = raised(interrupt.raised)
        if stopped:
            session.save()
    summaries = [{} for _ in folders] if actors.follows(config) else report(session, folders)
    if session.chunk < plan.chunks:
        told = f"stopped at {session.env_steps:,} {config.counted} per seed, and saved; to go on:\n"
        raise records.StoppedError(f"{told}  {experiment.command} --resume {folder}", code=130)
    return summaries[0] if len(points) == 1 else {path.name: s for path, s in zip(folders, summaries, strict=True)}


def foretell(prepared: Prepared, chunks: int, seconds: float, progress: Progress) -> None:
    """Says of a long run how long it takes, and how to have a shorter one.

    Args:
      prepared: the run.
      chunks: that are left.
      seconds: that one takes.
      progress: where it is said, unless that is quiet.
    """
    left = chunks * seconds
    if left > LONG:
        rate = prepared.plan.chunk_steps * prepared.lay.runs / seconds
        length = f"{left / 3600:,.1f} hours" if left >= 5400 else f"{left / 60:.0f} minutes"
        counted = prepared.config.counted
        progress.note(
            f"about {length} to go at {rate:,.0f} {counted}/s of all seeds together, evaluations not counted; "
            f"a smaller --{counted} than {prepared.config.steps:,} makes it shorter"
        )


def refuse_links(prepared: Prepared, folders: list[Path]) -> None:
    """Refuses files and links in the places of folders that the run writes into, before it begins.

    Raises:
      ValueError: naming the first.
    """
    own = [path / name for path in folders for name in (CHECKPOINTS, "policies", "tensorboard")]
    for path in [*(each for each in folders if each != prepared.folder), *own]:
        what = reports.files.kind(path)
        if what not in ("nothing", "a folder"):
            raise ValueError(f"--resume {prepared.folder}: {path.name} in it is {what}; must be a folder")


def write_configs(prepared: Prepared, folders: list[Path]) -> None:
    """Writes config.json of each point of a sweep, and the run's own if it is resumed: its checkpoint is accepted now.

    Raises:
      reports.files.UnwritableError: the run folder cannot be written.
    """
    experiment, config, points = prepared.experiment, prepared.config, prepared.points
    if config.resume:
        before = flags.contents(prepared.folder)["starts"]
        records.write_json(prepared.folder / "config.json", records.describe(experiment, config, before))
    if len(points) > 1:
        for path, point in zip(folders, points, strict=True):
            reports.files.make_folder(path)
            records.write_json(path / "config.json", records.describe(experiment, pointed(config, point)))


def pointed(config: Any, point: dict[str, float]) -> Any:
    """The flags of one point of a sweep, as if it had been run alone."""
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, **point), sweep=()) if point else config


def point_folders(folder: Path, points: list[dict[str, float]]) -> list[Path]:
    """Where each point of the sweep reports; the run folder itself if there is one."""
    if len(points) == 1:
        return [folder]
    return [folder / label(point) for point in points]


def open_log(
    prepared: Prepared, folders: list[Path], resume_at: int | None, logged: bool, progress: Progress
) -> Logger:
    """The logs of a run: each point of a sweep in its own folder, and one progress bar; `logged` as in `MetricsCsv`.

    Raises:
      ValueError: Weights & Biases is asked for and not installed.
    """
    config, each = prepared.config, prepared.config.seeds
    seeds = list(range(config.seed, config.seed + each))
    parts = []
    for i, (path, point) in enumerate(zip(folders, prepared.points, strict=True)):
        sinks: list[Any] = [
            MetricsCsv(path / "metrics.csv", seeds, resume_at, logged, config.counted),
            TensorBoard(path / "tensorboard", seeds, resume_at),
        ]
        if config.wandb:
            own, project, tags = flags.flat(pointed(config, point)), config.wandb_project, config.wandb_tags
            named = {"project": project, "group": prepared.folder.resolve().name, "axis": length_of(config)}
            sinks.append(Wandb(path, seeds, own, resume_at is not None, tags=tags, **named))
        parts.append(Part(slice(i * each, (i + 1) * each), *sinks))
    return Logger(prepared.lay.runs, *parts, progress)


def length_of(config: "Common") -> str:
    """What the length of a run is called in its logs and its summary."""
    return "env_steps" if config.counted == "steps" else config.counted


def summarise(session: Session, folder: Path, runs: slice) -> dict[str, Any]:
    """The content of summary.json for some of the runs: one point of a sweep, or all there are."""
    prepared, results = session.prepared, session.results
    last = np.where(results.dead, np.nan, results.last_returns)[runs]
    trained = session.env_steps - prepared.plan.warmup_steps
    speed = trained * prepared.lay.runs / max(results.train_seconds, 1e-9)
    summary = {
        "experiment": prepared.experiment.name,
        "env": prepared.config.env,
        "seeds": prepared.config.seeds,
        length_of(prepared.config): session.env_steps,
        "wall_seconds": round(results.wall_seconds, 3),
        "compile_seconds": round(results.compile_seconds, 3),
        f"{prepared.config.counted}_per_second": round(speed, 1),
        "eval_returns": last,
        "eval_returns_best": results.best_returns[runs],
        "eval_iqm": reports.stats.iqm(last),
        "eval_ci95": reports.stats.interval(last),
    }
    records.write_json(folder / "summary.json", summary)
    return summary


def report(session: Session, folders: list[Path]) -> list[dict[str, Any]]:
    """Writes summaries and curves, prints a small table, and returns the summaries."""
    prepared, each = session.prepared, session.prepared.config.seeds
    summaries = []
    for i, path in enumerate(folders):
        summaries.append(summarise(session, path, slice(i * each, (i + 1) * each)))
        title = f"{prepared.experiment.name} on {prepared.config.env}" + (f", {path.name}" if len(folders) > 1 else "")
        with reports.files.writing(path / CURVE):
            reports.plots.curve(path / "metrics.csv", path / CURVE, title)
    session.evolution.finish()
    if len(folders) > 1:
        with reports.files.writing(prepared.folder / CURVE):
            reports.plots.curves({path.name: path for path in folders}, prepared.folder / CURVE, prepared.config.env)
    if not prepared.config.quiet:
        print(table(folders, summaries, prepared.config.seed))
        print(f"\nrun folder: {prepared.folder}")
    return summaries


def table(folders: list[Path], summaries: list[dict[str, Any]], first_seed: int) -> str:
    """One line per seed of the evaluation returns, best and last, and one with what holds of all."""
    lines = []
    for path, summary in zip(folders, summaries, strict=True):
        lines += [
            f"\n{summary['experiment']} on {summary['env']}, {path.name}",
            f"{'seed':>8} {'best':>10} {'last':>10}   evaluation return",
        ]
        returns = zip(summary["eval_returns_best"], summary["eval_returns"], strict=True)
        lines += [
            f"{seed:>8} {reports.stats.figure(best):>10} {reports.stats.figure(last):>10}"
            for seed, (best, last) in enumerate(returns, first_seed)
        ]
        low, high = summary["eval_ci95"]
        iqms = reports.stats.iqm(summary["eval_returns_best"]), summary["eval_iqm"]
        lines.append(f"{'IQM':>8} {reports.stats.figure(iqms[0]):>10} {reports.stats.figure(iqms[1]):>10}")
        if not np.isfinite(iqms).any():
            lines.append("no policy was evaluated yet")
        if np.isfinite(low):
            lines[-1] += f"   95 % interval of the last: {low:.1f} to {high:.1f}"
        game = atari.game_of(summary["env"])
        if game and np.isfinite(iqms).all():
            best, last = (atari.human_normalised(game, x) for x in iqms)
            lines.append(f"{'human':>8} {best:>10.1%} {last:>10.1%}   normalised: 0 % is random play, 100 % a human")
    of = summaries[0]
    counted = "updates" if "updates" in of else "steps"
    length, speed = of["updates" if counted == "updates" else "env_steps"], of[f"{counted}_per_second"]
    lines.append(
        f"\n{length:,} {counted} per seed at {speed:,.0f} {counted}/s of all seeds together; "
        f"{of['wall_seconds']:.0f} s, of which compilation {of['compile_seconds']:.0f} s"
    )
    return "\n".join(lines)
