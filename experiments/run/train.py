"""The life of a run: chunks, log points, evaluations, checkpoints, and how it ends."""

import contextlib
import dataclasses
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import keys
from envs.adapters import atari
from experiments.drivers import devices
from experiments.reports import plots, stats
from experiments.reports.sinks import Logger, MetricsCsv, Part, Progress, TensorBoard, Wandb, read_rows
from experiments.run import flags, records
from experiments.run.checkpoint import Checkpointer
from experiments.run.prepare import Prepared, run_seeds

EPISODES = ("episodes", "episode_return", "episode_length")
"""Metrics that may be NaN: no episode need have ended in a chunk."""

MARK = "saved"
"""An empty file in the run folder, and in that of each point of a sweep, that says that a checkpoint was made."""


class Results(NamedTuple):
    """What of a run is neither learned nor simulated; saved with it."""

    best: Any  # actors [G, r, ...], each run's of its best evaluation
    best_returns: np.ndarray  # [R]
    last_returns: np.ndarray  # [R]
    dead: np.ndarray  # [R] bool, the loss was not finite
    train_seconds: float  # of chunks, without compilation
    compile_seconds: float
    wall_seconds: float


def finite(tree: Any) -> jax.Array:
    """Whether all real numbers of a tree are finite; a boolean scalar."""
    return jnp.array(
        [jnp.isfinite(x).all() for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    ).all()


def shaping(config: Any) -> dict[str, Any]:
    """The flags that a run must keep when it is resumed."""
    return {name: value for name, value in flags.flat(config).items() if name not in flags.CHANGEABLE}


class Session:
    """A run under way: its state on the devices, its results, and where it reports."""

    def __init__(self, prepared: Prepared, checkpoints: Checkpointer, policies: list[Checkpointer]):
        """Starts the run, or takes it up from its newest checkpoint.

        Args:
          prepared: the run.
          checkpoints: where all of it is saved.
          policies: where the actors of each point of a sweep are saved, for `experiments.evaluate`.

        Raises:
          ValueError: the checkpoint is of a run with other flags or shapes.
        """
        self.prepared, self.checkpoints, self.policies = prepared, checkpoints, policies
        config, lay, loop = prepared.config, prepared.lay, prepared.driver.loop
        self.compilation, self.began = records.Compilation(), time.monotonic()
        self.keys = keys.key(run_seeds(config, prepared.points))
        self.keep = devices.mapped(lay, lambda new, a, b: jax.tree.map(lambda x, y: jnp.where(new, x, y), a, b))
        self.finite = devices.mapped(lay, finite)
        self.meta = shaping(config)
        found = checkpoints.restore(self.template(), self.meta, shaping(type(config)())) if config.resume else None
        if found is None:
            if config.resume:
                self.refuse_to_begin_anew()
            self.chunk, self.state = 0, loop.init(self.keys)
            unknown, dead = np.full(lay.runs, np.nan), np.zeros(lay.runs, bool)
            self.results = Results(loop.actor(self.state), np.full(lay.runs, -np.inf), unknown, dead, 0.0, 0.0, 0.0)
        else:
            steps, (self.state, self.results) = found
            self.chunk = prepared.plan.chunks_at(steps)
        self.before = self.results

    def template(self) -> tuple[Any, Results]:
        """Shapes of what a checkpoint holds."""
        number = np.zeros(self.prepared.lay.runs)
        shape = self.prepared.driver.shape()
        actors = devices.laid_out(self.prepared.lay, jax.eval_shape(self.prepared.driver.loop.actor, shape))
        return shape, Results(actors, number, number, number.astype(bool), 0.0, 0.0, 0.0)

    def refuse_to_begin_anew(self) -> None:
        """Refuses a run folder that has no readable checkpoint though one was made, or though it was trained so far.

        A run that was killed before its first checkpoint may begin again: that save may still have been under way when
        the second was due.

        Raises:
          ValueError: what there is of the run would be overwritten.
        """
        folder, plan = self.prepared.folder, self.prepared.plan
        try:
            logged = max([int(row["env_steps"]) for row in read_rows(folder / "metrics.csv")[1]], default=0)
        except FileNotFoundError:
            logged = 0
        made = self.checkpoints.latest_step() is not None or (folder / MARK).exists()
        if made or (folder / "summary.json").exists() or logged > plan.env_steps(2 * plan.save_every):
            raise ValueError(
                f"--resume {folder}: it has no readable checkpoint, and beginning anew would overwrite its results; "
                f"start a new run with --out, or, if it is a point of a sweep, resume the sweep's folder"
            )

    @property
    def env_steps(self) -> int:
        """Environment steps per seed so far."""
        return self.prepared.plan.env_steps(self.chunk)

    def advance(self, log: Logger) -> None:
        """One chunk, its log point, and what is due after it."""
        plan, lay = self.prepared.plan, self.prepared.lay
        compiled, began = self.compilation.seconds, time.monotonic()
        self.state, metrics = self.prepared.driver.loop.step(self.state)
        seconds = max(time.monotonic() - began - (self.compilation.seconds - compiled), 1e-9)
        self.chunk += 1
        self.results = self.results._replace(train_seconds=self.results.train_seconds + seconds)
        self.clock()
        self.check(metrics)
        last = self.chunk == plan.chunks
        evaluate, save = (self.chunk % every == 0 or last for every in (plan.eval_every, plan.save_every))
        if evaluate or save:
            self.check_policy()
        rate = plan.chunk_steps * lay.runs / seconds
        self.report(log, {**metrics, "steps_per_second": rate}, "train")
        if evaluate:
            self.evaluate(log)
        if save:
            self.save()

    def clock(self) -> None:
        """Brings the times up to date."""
        self.results = self.results._replace(
            compile_seconds=self.before.compile_seconds + self.compilation.seconds,
            wall_seconds=self.before.wall_seconds + time.monotonic() - self.began,
        )

    def report(self, log: Logger, metrics: dict[str, Any], kind: Any) -> None:
        """One log point; runs that died report nothing."""
        alive = {name: np.where(self.results.dead, np.nan, value) for name, value in metrics.items()}
        log.log(kind, self.env_steps, self.results.wall_seconds, alive)

    def check_policy(self) -> None:
        """`check` of what the last update of the chunk made, which no loss has seen yet.

        Raises:
          records.StoppedError: as `check`.
        """
        good = devices.collect(self.prepared.lay, self.finite(self.prepared.driver.loop.actor(self.state)))
        self.check({"a parameter of the policy": np.where(good, 0.0, np.nan)})

    def check(self, metrics: dict[str, Any]) -> None:
        """Marks runs dead whose metrics are not finite.

        Raises:
          records.StoppedError: there is a new one and the run is to stop, or none is left.
        """
        config, dead = self.prepared.config, self.results.dead.copy()
        for name in sorted(metrics.keys() - set(EPISODES), key=lambda name: (name != "loss", name)):
            for run in np.flatnonzero(~np.isfinite(metrics[name]) & ~dead).tolist():
                dead[run] = True
                message = f"{name} is {metrics[name][run]} at {self.env_steps:,} steps of {self.named(run)}"
                if config.nan == "stop" or dead.all():
                    self.checkpoints.wait()
                    saved = self.checkpoints.latest_step()
                    kept = "no checkpoint yet" if saved is None else f"the checkpoint of {saved:,} steps is kept"
                    others = "no seed is left" if dead.all() else "--nan continue goes on with the other seeds"
                    raise records.StoppedError(f"{message}; {kept}; {others}")
                print(f"warning: {message}; going on without it", file=sys.stderr)
        self.results = self.results._replace(dead=dead)

    def named(self, run: int) -> str:
        """What to call a run: its seed, and its point of the sweep."""
        config, points = self.prepared.config, self.prepared.points
        at = f" at {label(points[run // config.seeds])}" if len(points) > 1 else ""
        return f"seed {run_seeds(config, points)[run]}{at}"

    def evaluate(self, log: Logger) -> None:
        """A greedy evaluation; keeps the actors that did better than before."""
        loop, lay = self.prepared.driver.loop, self.prepared.lay
        actors = loop.actor(self.state)
        evaluation_keys = jax.vmap(jax.random.fold_in, (0, None))(self.keys, 1_000_003 + self.chunk)
        episodes = loop.evaluate(actors, evaluation_keys)
        means = {name: np.float64(each).mean(axis=1) for name, each in episodes.items()}
        returns = np.where(self.results.dead, np.nan, means["eval_return"])
        better = returns > self.results.best_returns
        self.results = self.results._replace(
            best=self.keep(devices.place(lay, better), actors, self.results.best),
            best_returns=np.where(better, returns, self.results.best_returns),
            last_returns=returns,
        )
        self.clock()
        self.report(log, {**means, "eval_return": returns}, "eval")
        each = self.prepared.config.seeds
        both = devices.collect(lay, {"best": self.results.best, "last": actors})
        for i, policies in enumerate(self.policies):
            part = jax.tree.map(lambda x, i=i: x[i * each : (i + 1) * each], both)
            policies.save(self.env_steps, part, {})

    def save(self) -> None:
        """A checkpoint of everything."""
        self.clock()
        self.checkpoints.save(self.env_steps, (self.state, self.results), self.meta)


def train(prepared: Prepared) -> dict[str, Any]:
    """Runs to the end, or until Ctrl-C or a dead seed stops it.

    Returns:
      The content of summary.json; with a sweep, a dict of them by point.

    Raises:
      ValueError: the checkpoint to resume is of another run, or another process holds the folder.
      records.StoppedError: Ctrl-C, after a checkpoint, or a seed died under `--nan stop`.
    """
    experiment, config, points, plan, driver, _, folder = prepared
    folders = point_folders(folder, points)
    with contextlib.ExitStack() as stack:
        stack.enter_context(records.locked(folder))
        marks = [path / MARK for path in {folder, *folders}]
        checkpoints = stack.enter_context(Checkpointer(folder / "checkpoints", keep=config.keep, marks=marks))
        policies = [stack.enter_context(Checkpointer(path / "policies", keep=1)) for path in folders]
        interrupt = stack.enter_context(records.Interrupt())
        session = Session(prepared, checkpoints, policies)
        stack.callback(session.compilation.close)
        write_configs(prepared, folders)
        log = open_log(prepared, folders, session.env_steps if config.resume else None)
        try:
            while session.chunk < plan.chunks and not interrupt.raised:
                session.advance(log)
            if interrupt.raised:
                session.save()
        finally:
            log.close()
            driver.close()
    summaries = report(session, folders)
    if session.chunk < plan.chunks:
        told = f"stopped at {session.env_steps:,} steps per seed, and saved; to go on:\n"
        raise records.StoppedError(f"{told}  {experiment.command} --resume {folder}", code=130)
    return summaries[0] if len(points) == 1 else {path.name: s for path, s in zip(folders, summaries, strict=True)}


def write_configs(prepared: Prepared, folders: list[Path]) -> None:
    """Writes config.json of each point of a sweep, and the run's own if it is resumed: its checkpoint is accepted now.

    Raises:
      ValueError: the run folder cannot be written.
    """
    experiment, config, points = prepared.experiment, prepared.config, prepared.points
    try:
        if config.resume:
            before = flags.contents(prepared.folder)["starts"]
            records.write_json(prepared.folder / "config.json", records.describe(experiment, config, before))
        if len(points) > 1:
            for path, point in zip(folders, points, strict=True):
                path.mkdir(exist_ok=True)
                records.write_json(path / "config.json", records.describe(experiment, pointed(config, point)))
    except OSError as error:
        name = "--resume" if config.resume else "--out"
        raise ValueError(f"{name} {prepared.folder}: cannot be written ({error.strerror})") from None


def pointed(config: Any, point: dict[str, float]) -> Any:
    """The flags of one point of a sweep, as if it had been run alone."""
    return dataclasses.replace(config, agent=dataclasses.replace(config.agent, **point), sweep=()) if point else config


def point_folders(folder: Path, points: list[dict[str, float]]) -> list[Path]:
    """Where each point of the sweep reports; the run folder itself if there is one."""
    if len(points) == 1:
        return [folder]
    return [folder / label(point) for point in points]


def label(point: dict[str, float]) -> str:
    """A point of a sweep in a word."""
    return ",".join(f"{name.replace('_', '-')}={value:g}" for name, value in point.items())


def open_log(prepared: Prepared, folders: list[Path], resume_at: int | None) -> Logger:
    """The logs of a run: each point of a sweep in its own folder, and one progress bar.

    Raises:
      ValueError: Weights & Biases is asked for and not installed.
    """
    config, each = prepared.config, prepared.config.seeds
    seeds = list(range(config.seed, config.seed + each))
    parts = []
    for i, path in enumerate(folders):
        sinks: list[Any] = [
            MetricsCsv(path / "metrics.csv", seeds, resume_at),
            TensorBoard(path / "tensorboard", seeds, resume_at),
        ]
        if config.wandb:
            sinks.append(Wandb(path, seeds, flags.flat(config), resume_at is not None))
        parts.append(Part(slice(i * each, (i + 1) * each), *sinks))
    runs, plan = prepared.lay.runs, prepared.plan
    return Logger(runs, *parts, Progress(plan.env_steps(plan.chunks), runs, resume_at or 0, config.quiet))


def summarise(session: Session, folder: Path, runs: slice) -> dict[str, Any]:
    """The content of summary.json for some of the runs: one point of a sweep, or all there are."""
    prepared, results = session.prepared, session.results
    last = np.where(results.dead, np.nan, results.last_returns)[runs]
    trained = session.env_steps - prepared.plan.warmup_steps
    summary = {
        "experiment": prepared.experiment.name,
        "env": prepared.config.env,
        "seeds": prepared.config.seeds,
        "env_steps": session.env_steps,
        "wall_seconds": round(results.wall_seconds, 3),
        "compile_seconds": round(results.compile_seconds, 3),
        "steps_per_second": round(trained * prepared.lay.runs / max(results.train_seconds, 1e-9), 1),
        "eval_returns": last,
        "eval_returns_best": results.best_returns[runs],
        "eval_iqm": stats.iqm(last),
        "eval_ci95": stats.interval(last),
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
        plots.curve(path / "metrics.csv", path / "curve.png", title)
    if len(folders) > 1:
        plots.curves({path.name: path for path in folders}, prepared.folder / "curve.png", prepared.config.env)
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
        lines += [f"{seed:>8} {best:>10.1f} {last:>10.1f}" for seed, (best, last) in enumerate(returns, first_seed)]
        low, high = summary["eval_ci95"]
        lines.append(f"{'IQM':>8} {stats.iqm(summary['eval_returns_best']):>10.1f} {summary['eval_iqm']:>10.1f}")
        lines[-1] += f"   95 % interval of the last: {low:.1f} to {high:.1f}"
        game = atari.game_of(summary["env"])
        if game:
            iqms = stats.iqm(summary["eval_returns_best"]), summary["eval_iqm"]
            best, last = (atari.human_normalised(game, x) for x in iqms)
            lines.append(f"{'human':>8} {best:>10.1%} {last:>10.1%}   normalised: 0 % is random play, 100 % a human")
    of = summaries[0]
    lines.append(
        f"\n{of['env_steps']:,} steps per seed at {of['steps_per_second']:,.0f} steps/s of all seeds together; "
        f"{of['wall_seconds']:.0f} s, of which compilation {of['compile_seconds']:.0f} s"
    )
    return "\n".join(lines)
