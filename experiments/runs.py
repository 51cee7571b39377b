"""What every experiment does with its flags: check, build, train, log, evaluate, save, resume, report.

An experiment module gives its flags and a `build`; `run` does the rest. Nothing here knows an algorithm.
"""

import dataclasses
import datetime
import math
import os
import platform
import sys
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import flags, records

if TYPE_CHECKING:
    from experiments.drivers import Driver, Parts


class Scale(NamedTuple):
    """What `build` may need to know of the run beside the agent's own flags."""

    num_envs: int
    """Lanes on each device."""
    devices: int
    """Devices that share each seed; batches and buffers are per device."""
    steps: int
    """Environment steps per seed."""

    def per_device(self, total: int, name: str) -> int:
        """`total` shared out over the devices.

        Raises:
          ValueError: it does not divide.
        """
        if total < 1 or total % self.devices:
            raise ValueError(f"{flags.flag(name)} {total}: must be a positive multiple of --devices {self.devices}")
        return total // self.devices


class Plan(NamedTuple):
    """The static schedule of a run, in chunks."""

    warmup_steps: int
    chunk_steps: int
    iterations: int
    chunks: int
    eval_every: int
    save_every: int

    def env_steps(self, chunks: int) -> int:
        """Environment steps per seed after so many chunks."""
        return self.warmup_steps + chunks * self.chunk_steps

    def chunks_at(self, env_steps: int) -> int:
        """The inverse."""
        return (env_steps - self.warmup_steps) // self.chunk_steps


Build = Callable[[Any, Any, Scale], "Parts"]
"""`(agent flags, envs.base.Spec, Scale) -> Parts`; its real-number flags may be traced."""


def main(
    experiment: str, kind: type[Any], build: Build, presets: flags.Presets = MappingProxyType({})
) -> Callable[..., dict[str, Any]]:
    """The `main` of an experiment module: reads flags, runs, and turns bad flags into one line and exit code 2.

    Args:
      experiment: the module's name.
      kind: its flags.
      build: what makes the parts of a run of them.
      presets: what `--preset` can name.
    """

    def command(argv: list[str] | None = None) -> dict[str, Any]:
        arguments = sys.argv[1:] if argv is None else argv
        try:
            config = flags.parse(kind, arguments, f"python -m experiments.{experiment}", presets)
            flags.check(config)
            points = flags.grid(config)
            prepared = prepare(experiment, config, points, build)
            from experiments.training import train
        except ValueError as error:
            flags.fail(error)
        except KeyboardInterrupt:
            flags.fail("stopped before training began; nothing was saved", code=130)
        return train(prepared)

    return command


def use_cores(config: Any = None) -> None:
    """Settles how XLA uses the CPU and where it keeps compiled programs; before JAX starts, unless told otherwise.

    Runs side by side have a host device per core. A single run whose operations are small has one device and no thread
    pool: handing such work to other threads takes longer than doing it (docs/design.md, "Drivers").

    Args:
      config: flags of the run; None where there may be several devices' worth of work.
    """
    keep_compiled()
    given = os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    inline = config is not None and runs_inline(config)
    if "xla_force_host_platform_device_count" not in given:
        devices = 1 if inline else cores
        os.environ["XLA_FLAGS"] = f"{given} --xla_force_host_platform_device_count={devices}".strip()
        # XLA's thread pool has NPROC threads, by default one per core. Devices occupy one each, and where none is left
        # an operation that hands out part of its work waits for ever; with one device it does that work itself.
        os.environ.setdefault("NPROC", str(1 if inline else 4 * cores))


INLINE_LAYER = 128
"""Units up to which a dense layer is computed faster by one thread than handed to several."""


def runs_inline(config: Any) -> bool:
    """Whether a run computes on one thread: it is the only one, has small layers, and sees no Atari frames."""
    runs = config.seeds * len(flags.grid(config))
    hidden = getattr(config.agent, "hidden", ())
    widest = max(hidden, default=0) if isinstance(hidden, tuple) else hidden
    images = config.env.startswith("atari/") or getattr(config.agent, "frames", 1) > 1
    return runs == 1 and config.devices == 1 and widest <= INLINE_LAYER and not images


def keep_compiled() -> None:
    """Lets JAX keep compiled programs in the user's cache folder, so that a command compiles the first time only.

    `JAX_COMPILATION_CACHE_DIR` names another folder, and `JAX_ENABLE_COMPILATION_CACHE=false` keeps nothing.
    """
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def cache_folder() -> Path:
    """The folder of compiled programs for this kind of processor: code for another one can stop with SIGILL."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        processor = "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))}))
    except OSError:
        processor = platform.processor()
    return home / "bellmax" / f"{platform.machine()}-{zlib.crc32(processor.encode()):08x}"


class Prepared(NamedTuple):
    """A run that has been checked and not yet compiled."""

    experiment: str
    config: Any
    points: list[dict[str, float]]
    plan: Plan
    driver: "Driver"
    lay: Any
    folder: Path


def prepare(experiment: str, config: Any, points: list[dict[str, float]], build: Build) -> Prepared:
    """Builds everything that can refuse a flag, and makes the run folder last.

    A run that is resumed keeps its config.json until `training.train` has accepted its checkpoint.

    Raises:
      ValueError: naming the flag.
    """
    use_cores(config)
    from experiments import devices

    folder = folder_of(experiment, config)
    env = environment(config)
    make = maker(config, env.spec, build)
    runs = len(points) * config.seeds
    lay = devices.layout(runs, config.devices)
    for point in points:
        parts = make(point)
    config, plan = planned(config, parts)
    hypers: dict[str, Any] = {
        name: np.repeat(np.array([p[name] for p in points], np.float32), config.seeds) for name in points[0]
    }
    hypers["run"] = np.arange(runs)
    driver = drive(
        env, make, hypers, lay, run_seeds(config, points), num_envs=config.num_envs // config.devices,
        iterations=plan.iterations, eval_episodes=config.eval_episodes, judged=judged(config, env),
    )  # fmt: skip
    driver.shape()  # traces what `init` does: what does not fit together says so here, before anything compiles
    if not config.resume:
        make_folder(folder, experiment, config)
    return Prepared(experiment, config, points, plan, driver, lay, folder)


def environment(config: Any) -> Any:
    """The task that the flags name.

    Raises:
      ValueError: there is none such, or it does not know the options.
    """
    import envs

    return envs.make(config.env, **envs.parse_options(config.env_options))


def judged(config: Any, env: Any, options: Sequence[str] = ()) -> Any:
    """The task that policies are evaluated on: `env` of the flags, with `eval_env_options`, and with `options` on top.

    Raises:
      ValueError: the task does not know them, or becomes another for the agent's eye or hand.
    """
    import jax

    import envs
    from envs.base import blank

    changed = envs.parse_options(config.eval_env_options) | envs.parse_options(options)
    if not changed:
        return env
    other = envs.make(config.env, **(envs.parse_options(config.env_options) | changed))
    seen, shown = (
        str(jax.tree.map(lambda x: (x.dtype.name, x.shape[1:]), blank(task.spec, 1).observation))
        for task in (env, other)
    )
    for here, there in ((seen, shown), (str(env.spec.action), str(other.spec.action))):
        if here != there:
            flag, words = ("--env-options", options) if options else ("--eval-env-options", config.eval_env_options)
            raise ValueError(f"{flag} {' '.join(words)}: the agent knows {here}, and the task then has {there}")
    return other


def drive(env: Any, make: Any, hypers: Any, lay: Any, seeds: np.ndarray, **numbers: Any) -> "Driver":
    """The driver for a task, in graph or on the host; `numbers` as for `drivers.in_graph`, `seeds` of the runs."""
    from envs.base import Environment
    from experiments import drivers
    from experiments.host import host

    if isinstance(env, Environment):
        return drivers.in_graph(env, make, hypers, lay, **numbers)
    return host(env, make, hypers, lay, seeds=[int(seed) for seed in seeds], **numbers)


def run_seeds(config: Any, points: list[dict[str, float]]) -> np.ndarray:
    """The seed of every run, `[R]`: the same ones at each point of a sweep."""
    return np.tile(config.seed + np.arange(config.seeds), len(points))


def maker(config: Any, spec: Any, build: Build) -> Callable[[dict[str, Any]], "Parts"]:
    """`build` as a function of swept values alone: field of `config.agent` -> number, traced or not."""
    scale = Scale(config.num_envs // config.devices, config.devices, config.steps)

    def make(hypers: dict[str, Any]) -> "Parts":
        swept = {name: value for name, value in hypers.items() if name != "run"}
        return build(dataclasses.replace(config.agent, **swept), spec, scale)

    return make


def planned(config: Any, parts: "Parts") -> tuple[Any, Plan]:
    """Rounds the intervals to whole chunks; the flags returned hold what was rounded to.

    Raises:
      ValueError: the steps do not reach one chunk, or the warm-up does not fill what a sample needs.
    """
    schedule = parts.schedule
    per_iteration = schedule.unroll * config.num_envs
    warmup_steps = schedule.warmup * per_iteration
    if config.steps < warmup_steps + per_iteration:
        raise ValueError(
            f"--steps {config.steps}: does not reach one chunk, which is {per_iteration} steps "
            f"(unroll {schedule.unroll} x --num-envs {config.num_envs}) after a warm-up of {warmup_steps}"
        )
    rows = (schedule.warmup + 1) * schedule.unroll
    if rows < parts.replay.minimum:
        least = math.ceil(parts.replay.minimum / schedule.unroll) - 1
        raise ValueError(
            f"--agent.warmup {warmup_steps}: sampling needs {parts.replay.minimum} rows of every environment; "
            f"with --num-envs {config.num_envs} that is a warm-up of at least {least * per_iteration} steps"
        )
    iterations = (config.steps - warmup_steps) // per_iteration
    log_every = config.log_every or min(config.steps // 100, 50_000)
    per_chunk = min(iterations, max(1, round(log_every / per_iteration)))
    chunk_steps = per_chunk * per_iteration
    eval_every = max(1, round((config.eval_every or config.steps / 20) / chunk_steps))
    save_every = max(1, round(config.checkpoint_every / chunk_steps)) if config.checkpoint_every else eval_every
    plan = Plan(warmup_steps, chunk_steps, per_chunk, math.ceil(iterations / per_chunk), eval_every, save_every)
    rounded = dataclasses.replace(config, log_every=chunk_steps, eval_every=eval_every * chunk_steps)
    return rounded, plan


def folder_of(experiment: str, config: Any) -> Path:
    """The run folder, which need not exist yet.

    Raises:
      ValueError: it exists and holds something, or is in no folder that can be written to.
    """
    if config.resume:
        return Path(config.resume)
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = Path(config.out or f"runs/{experiment}-{config.env.replace('/', '-')}-{stamp}")
    nearest = next(path for path in (folder, *folder.absolute().parents) if os.path.lexists(path))
    if not nearest.is_dir():
        raise ValueError(f"--out {folder}: cannot be written ({nearest} is not a folder)")
    if not os.access(nearest, os.R_OK | os.W_OK | os.X_OK):
        raise ValueError(f"--out {folder}: cannot be written ({nearest} does not permit it)")
    # A start that was killed may have left config.tmp.
    if nearest == folder and {path.name for path in folder.iterdir()} - {"config.tmp"}:
        raise ValueError(f"--out {folder}: already exists; give a new folder, or --resume {folder} to go on with it")
    return folder


def make_folder(folder: Path, experiment: str, config: Any) -> None:
    """Makes the run folder if it is new. From here on the run can be resumed: its config.json comes first, and whole.

    Raises:
      ValueError: it cannot be written, or is being written by another process.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with records.alone(folder):
            records.write_json(folder / "config.json", records.describe(experiment, config))
    except OSError as error:
        name = "--resume" if config.resume else "--out"
        raise ValueError(f"{name} {folder}: cannot be written ({error.strerror})") from None
