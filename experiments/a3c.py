"""A3C: worker processes that share one set of parameters: `python -m experiments.a3c --help`.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016. Each worker has its own environments. It
copies the shared parameters, plays T steps, takes the gradient of A2C's loss (`agents.a2c`), and applies it to the
parameters as they are by then, with optimiser statistics that are shared too. A lock covers that last step alone.
"""

import contextlib
import math
import multiprocessing
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from experiments import a2c, parts, run


@dataclass(frozen=True)
class Flags(run.Common):
    """Train A3C (Mnih et al., 2016) on a task in graph: `bellmax/*` or `gymnax/*`."""

    env: str = "bellmax/cartpole"
    """Task in graph, as suite/id; `python -m experiments.list` prints the suites."""
    workers: run.Count = 2
    """Number of processes that act and learn."""
    num_envs: run.Count = 8
    """Environments (lanes) per worker."""
    agent: a2c.Config = field(default_factory=a2c.Config)


class Judge:
    """Evaluates parameters, logs that, and keeps the best and the last for `experiments.evaluate`."""

    def __init__(self, config: Flags, policies: Any, log: Any):
        """Of one run."""
        import jax

        from experiments.drivers import in_graph

        env, built = parts.workers.build(config, a2c.make, held=False)
        self.config, self.policies, self.log = config, policies, log
        self.play = jax.jit(
            in_graph.evaluation(run.prepare.evaluation_task(config, env), built.agent, config.eval_episodes)
        )
        self.best, self.best_return, self.last_return = None, -math.inf, math.nan
        self.at = 0

    def __call__(self, params: Any, steps: int, seconds: float) -> None:
        """Evaluates the parameters as they were after so many steps, once.

        Raises:
          ValueError: a parameter is not finite.
        """
        import jax
        import numpy as np

        from envs import keys

        if steps <= self.at:
            return
        self.at = steps
        if not all(np.isfinite(x).all() for x in jax.tree.leaves(params)):
            raise ValueError(f"a parameter of the policy is not finite at {steps:,} steps")
        found = self.play(params, jax.random.fold_in(keys.key(self.config.seed), steps))
        means = {name: float(np.mean(each)) for name, each in found.items()}
        self.last_return, actors = means["eval_return"], jax.tree.map(lambda x: x[None], params)
        if self.last_return > self.best_return:
            self.best, self.best_return = actors, self.last_return
        self.log.log("eval", steps, seconds, means)
        self.policies.save(steps, {"best": self.best, "last": actors}, {})


def train(experiment: run.Experiment, config: Flags, folder: Path) -> dict[str, Any]:
    """Runs the workers, and evaluates the parameters that they share; what a run leaves is left in `folder`.

    Returns:
      The content of summary.json.

    Raises:
      RuntimeError: a worker died.
      records.StoppedError: Ctrl-C, with the last policy kept, or a parameter that is not finite.
    """
    import numpy as np

    from experiments import reports
    from experiments.run.checkpoint import Checkpointer

    example, _ = parts.workers.fresh(config, a2c.make)
    shared = parts.workers.Shared(example)
    run.folders.make_folder(folder, experiment, config)
    context = multiprocessing.get_context("spawn")
    lock, told = context.Lock(), context.Queue()
    taken, stop = context.Value("q", 0, lock=False), context.Value("b", 0, lock=False)
    log_every = config.log_every or min(config.steps // 100, 50_000)
    began, since = time.monotonic(), []
    with contextlib.ExitStack() as stack:
        stack.enter_context(run.records.locked(folder, "--out"))
        policies = stack.enter_context(Checkpointer(folder / "policies", keep=1))
        log = reports.sinks.Logger(
            1,
            reports.sinks.MetricsCsv(folder / "metrics.csv", [config.seed]),
            reports.sinks.TensorBoard(folder / "tensorboard", [config.seed]),
            reports.sinks.Progress(config.steps, 1, quiet=config.quiet),
        )
        stack.enter_context(log)
        interrupt = stack.enter_context(run.records.Interrupt())
        judge = Judge(config, policies, log)
        shares = (a2c.make, shared.block, lock, taken, told, stop)
        team = [
            context.Process(
                target=parts.workers.run_worker,
                args=(i, config, *shares),
                daemon=True,
            )
            for i in range(config.workers)
        ]
        for worker in team:
            worker.start()
        at, logged = 0, 0
        latest, waiting = [0] * config.workers, {}  # parameters by step, until no worker can report an earlier one
        try:
            for index, steps, metrics, params in parts.workers.reported(team, told):
                at, stop.value = max(at, steps), interrupt.raised
                since.append(metrics)
                seconds = time.monotonic() - began
                if at - logged >= log_every or at >= config.steps:
                    log.log("train", at, seconds, {**parts.workers.merged(since), "steps_per_second": at / seconds})
                    since, logged = [], at
                latest[index] = steps
                if params is not None:
                    waiting[steps] = params
                for due in sorted(step for step in waiting if step <= min(latest)):
                    judge(waiting.pop(due), due, seconds)
            for due in sorted(waiting):
                judge(waiting[due], due, time.monotonic() - began)
            judge(shared.read()[0], int(taken.value), time.monotonic() - began)
        except ValueError as error:
            raise run.records.StoppedError(str(error)) from None
    summary = {
        "experiment": "a3c",
        "env": config.env,
        "workers": config.workers,
        "seeds": 1,
        "env_steps": int(taken.value),
        "wall_seconds": round(time.monotonic() - began, 3),
        "eval_returns": [judge.last_return],
        "eval_returns_best": [judge.best_return],
        "eval_iqm": judge.last_return,
        "eval_ci95": reports.stats.interval(np.array([judge.last_return])),
    }
    run.records.write_json(folder / "summary.json", summary)
    reports.plots.curve(folder / "metrics.csv", folder / "curve.png", f"a3c on {config.env}")
    if not config.quiet:
        best, last = reports.stats.figure(judge.best_return), reports.stats.figure(judge.last_return)
        print(f"evaluation return: best {best}, last {last}\n\nrun folder: {folder}")
    if interrupt.raised:
        raise run.records.StoppedError(f"stopped at {taken.value:,} steps; A3C cannot be resumed", code=130)
    return summary


def check(config: a2c.Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses what A2C does, and normalisers.

    Raises:
      ValueError: naming the flag.
    """
    for name in ("normalise_observations", "normalise_rewards"):
        if getattr(config, name):
            raise ValueError(f"{run.flag('agent.' + name)}: A3C's workers share no statistics")
    a2c.check(config, spec, size)


def launch(experiment: run.Experiment, config: Flags) -> dict[str, Any]:
    """Refuses flags that A3C has no use for, and trains.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Environment

    plain = Flags()
    without = ("resume", "sweep", "wandb", "wandb_project", "wandb_tags", "checkpoint_every", "keep", "nan")
    for name in (*without, "data", "data_share", "start_from"):
        if getattr(config, name) != getattr(plain, name):
            raise ValueError(f"{run.flag(name)} {getattr(config, name)}: A3C has no such thing")
    for name in ("seeds", "devices"):
        if getattr(config, name) != 1:
            raise ValueError(f"{run.flag(name)} {getattr(config, name)}: A3C trains one seed, its workers side by side")
    env = run.prepare.environment(config)
    if not isinstance(env, Environment):
        raise ValueError(f"--env {config.env}: A3C's workers play tasks in graph, bellmax/* and gymnax/*")
    experiment.check(config.agent, env.spec, run.prepare.size_of(config))
    run.prepare.evaluation_task(config, env)
    return train(experiment, config, run.folders.folder_of("a3c", config))


experiment = run.Experiment("a3c", Flags, check, a2c.make, launch=launch)
main = experiment.main

if __name__ == "__main__":
    main()
