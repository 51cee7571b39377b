"""A run under way: its state on the devices, its results, and what is done after each chunk."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Tree
from envs import keys
from experiments.drivers import devices, joining
from experiments.reports.sinks import Logger, salvage
from experiments.run import actors, flags, layouts, records
from experiments.run.checkpoint import Checkpointer
from experiments.run.evolution import evolution
from experiments.run.prepare import Prepared, run_seeds

if TYPE_CHECKING:
    from experiments.drivers.base import RunState
    from experiments.reports.sinks.logger import Kind
    from experiments.run.flags import Common

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


def finite(tree: Tree) -> jax.Array:
    """Whether all real numbers of a tree are finite; a boolean scalar."""
    return jnp.array(
        [jnp.isfinite(x).all() for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    ).all()


def shaping(config: "Common") -> dict[str, Any]:
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
        self.evolution = evolution(prepared)
        self.meta = shaping(config)
        found = (
            layouts.restore(checkpoints, lay, self.template(), self.meta, shaping(type(config)()))
            if config.resume
            else None
        )
        if found is None:
            if config.resume:
                self.refuse_to_begin_anew()
            self.chunk, self.state = 0, loop.init(self.keys)
            if prepared.begun is not None:
                self.state = self.state._replace(agent=devices.place(lay, prepared.begun))
            unknown, dead = np.full(lay.runs, np.nan), np.zeros(lay.runs, bool)
            self.results = Results(loop.actor(self.state), np.full(lay.runs, -np.inf), unknown, dead, 0.0, 0.0, 0.0)
        else:
            steps, (self.state, self.results) = found[0], joining.own(lay, found[1])
            self.chunk = prepared.plan.chunks_at(steps)
        self.before = self.results

    def template(self) -> "tuple[RunState, Results]":
        """Shapes of what a checkpoint holds."""
        number = np.zeros(self.prepared.lay.runs)
        shape = self.prepared.driver.shape()
        lay = self.prepared.lay
        actors = devices.laid_out(lay, joining.shapes(lay, self.prepared.driver.loop.actor, shape))
        return shape, Results(actors, number, number, number.astype(bool), 0.0, 0.0, 0.0)

    def refuse_to_begin_anew(self) -> None:
        """Refuses a run folder that has no readable checkpoint though one was made, or though it was trained so far.

        A run that was killed before its first checkpoint may begin again: that save may still have been under way when
        the second was due.

        Raises:
          ValueError: what there is of the run would be overwritten.
        """
        folder, plan = self.prepared.folder, self.prepared.plan
        logged = max([int(row["env_steps"]) for row in salvage(folder / "metrics.csv")[1]], default=0)
        made = self.checkpoints.latest_step() is not None or (folder / MARK).exists()
        if made or (folder / "summary.json").exists() or logged > plan.env_steps(2 * plan.save_every):
            raise ValueError(
                f"--resume {folder}: it has no readable checkpoint, and beginning anew would overwrite its results; "
                f"start a new run with --out, or, if it is a point of a sweep, resume the sweep's folder"
            )

    @property
    def env_steps(self) -> int:
        """Environment steps per seed so far, or updates of a run that takes none."""
        return self.prepared.plan.env_steps(self.chunk)

    def advance(self, log: Logger) -> None:
        """One chunk, its log point, and what is due after it.

        Raises:
          files.UnwritableError: something of that, or a save under way, cannot be written.
          records.StoppedError: as `check`.
        """
        plan, lay = self.prepared.plan, self.prepared.lay
        for checkpoints in (self.checkpoints, *self.policies):
            checkpoints.check()
        compiled, began, before = self.compilation.seconds, time.monotonic(), self.env_steps
        self.state, metrics = self.prepared.driver.loop.step(self.state)
        seconds = max(time.monotonic() - began - (self.compilation.seconds - compiled), 1e-9)
        self.chunk += 1
        self.results = self.results._replace(train_seconds=self.results.train_seconds + seconds)
        self.clock()
        self.check(metrics)
        last = self.chunk == plan.chunks
        turn = plan.turn_every > 0 and self.chunk % plan.turn_every == 0
        evaluate, save = (self.chunk % every == 0 or last for every in (plan.eval_every, plan.save_every))
        evaluate = evaluate or turn
        if evaluate or save:
            self.check_policy()
        rate = plan.chunk_steps * lay.runs / seconds
        self.report(log, {**metrics, f"{self.prepared.config.counted}_per_second": rate}, "train")
        if evaluate:
            scores = self.evaluate(log)
        if turn:
            self.turn(scores)
        self.state = self.state._replace(agent=self.evolution.follow(self.state.agent, before, self.env_steps))
        if save:
            self.save()

    def clock(self) -> None:
        """Brings the times up to date."""
        self.results = self.results._replace(
            compile_seconds=self.before.compile_seconds + self.compilation.seconds,
            wall_seconds=self.before.wall_seconds + time.monotonic() - self.began,
        )

    def report(self, log: Logger, metrics: Mapping[str, np.ndarray | float], kind: "Kind") -> None:
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

    def check(self, metrics: dict[str, np.ndarray]) -> None:
        """Marks runs dead whose metrics are not finite.

        Raises:
          records.StoppedError: there is a new one and the run is to stop, or none is left.
        """
        config, dead = self.prepared.config, self.results.dead.copy()
        for name in sorted(metrics.keys() - set(EPISODES), key=lambda name: (name != "loss", name)):
            for run in np.flatnonzero(~np.isfinite(metrics[name]) & ~dead).tolist():
                dead[run] = True
                message = f"{name} is {metrics[name][run]} at {self.env_steps:,} {config.counted} of {self.named(run)}"
                if config.nan == "stop" or dead.all():
                    self.checkpoints.wait()
                    kept = self.checkpoints.kept(config.counted)
                    others = "no seed is left" if dead.all() else "--nan continue goes on with the other seeds"
                    raise records.StoppedError(f"{message}; {kept}; {others}")
                print(f"warning: {message}; going on without it", file=sys.stderr)
        self.results = self.results._replace(dead=dead)

    def named(self, run: int) -> str:
        """What to call a run: its seed, and its point of the sweep."""
        config, points = self.prepared.config, self.prepared.points
        at = f" at {label(points[run // config.seeds])}" if len(points) > 1 else ""
        return f"seed {run_seeds(config, points)[run]}{at}"

    def turn(self, scores: np.ndarray) -> None:
        """Lets members of a population copy one another by scores `[R, E]`; what had died lives on as a copy."""
        agents, moved = self.evolution.turn(self.state.agent, scores, self.env_steps)
        self.state = self.state._replace(agent=agents)
        self.results = self.results._replace(dead=self.results.dead & ~moved)

    def evaluate(self, log: Logger) -> np.ndarray:
        """A greedy evaluation; keeps the actors that did better than before. Gives the episodes' returns, `[R, E]`."""
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
        return np.where(self.results.dead[:, None], np.nan, episodes["eval_return"])

    def save(self) -> None:
        """A checkpoint of everything, by the one of several learners that keeps the records."""
        self.clock()
        whole = joining.gathered(self.prepared.lay, (self.state, self.results))
        if not actors.follows(self.prepared.config):
            self.checkpoints.save(self.env_steps, whole, self.meta)


def label(point: dict[str, float]) -> str:
    """A point of a sweep in a word."""
    return ",".join(f"{name.replace('_', '-')}={value:g}" for name, value in point.items())
