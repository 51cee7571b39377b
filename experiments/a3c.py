"""A3C: worker processes that share one set of parameters: `python -m experiments.a3c --help`.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016. Each worker has its own environments. It
copies the shared parameters, plays T steps, takes the gradient of A2C's loss (`agents.a2c`), and applies it to the
parameters as they are by then, with optimiser statistics that are shared too. A lock covers that last step alone.
"""

import dataclasses
import multiprocessing
import time
from dataclasses import dataclass, field
from typing import Any

from experiments import a2c, actor_critics, flags, records, runs


@dataclass(frozen=True)
class Flags(flags.Common):
    """Train A3C (Mnih et al., 2016) on a task in graph: `bellmax/*` or `gymnax/*`."""

    env: str = "bellmax/cartpole"
    """Task in graph, as suite/id; `python -m experiments.list` prints the suites."""
    workers: int = 2
    """Processes."""
    num_envs: int = 8
    """Environments (lanes) per worker."""
    agent: a2c.Config = field(default_factory=a2c.Config)


def hold() -> Any:
    """An optimiser that leaves parameters alone and keeps the gradient as its state, for `Shared.apply` to use."""
    import jax
    import jax.numpy as jnp
    import optax

    def init(params: Any) -> Any:
        return jax.tree.map(jnp.zeros_like, params)

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return jax.tree.map(jnp.zeros_like, gradients), gradients

    return optax.GradientTransformation(init, update)


class Shared:
    """A tree of arrays in memory that several processes see."""

    def __init__(self, example: Any, block: Any = None):
        """`example` has the shapes; without a `block` of shared bytes a new one is made and filled with it."""
        import jax
        import numpy as np

        leaves, structure = jax.tree.flatten(example)
        self.structure: Any = structure
        ends = np.cumsum([leaf.size * leaf.dtype.itemsize for leaf in leaves])
        self.block = multiprocessing.get_context("spawn").RawArray("b", int(ends[-1])) if block is None else block
        self.leaves = [
            np.frombuffer(self.block, leaf.dtype, leaf.size, int(end) - leaf.size * leaf.dtype.itemsize).reshape(
                leaf.shape
            )
            for leaf, end in zip(leaves, ends, strict=True)
        ]
        if block is None:
            self.write(example)

    def read(self) -> Any:
        """A copy."""
        return self.structure.unflatten([leaf.copy() for leaf in self.leaves])

    def write(self, tree: Any) -> None:
        """Replaces everything."""
        import jax

        for leaf, new in zip(self.leaves, jax.tree.leaves(tree), strict=True):
            leaf[...] = new


def build(config: Flags, held: bool) -> Any:
    """The task, and the parts of an A2C on it with its own optimiser, or with one that holds the gradient.

    Raises:
      ValueError: flags that no run can have.
    """
    from envs.base import Environment

    env = runs.environment(config)
    if not isinstance(env, Environment):
        raise ValueError(f"--env {config.env}: A3C's workers play tasks in graph, bellmax/* and gymnax/*")
    if config.workers < 1:
        raise ValueError(f"--workers {config.workers}: must be at least 1")
    for name in ("normalise_observations", "normalise_rewards"):
        if getattr(config.agent, name):
            raise ValueError(f"{flags.flag('agent.' + name)}: A3C's workers share no statistics")
    for name in ("seeds", "devices"):
        if getattr(config, name) != 1:
            raise ValueError(
                f"{flags.flag(name)} {getattr(config, name)}: A3C trains one seed, its workers side by side"
            )
    scale = runs.Scale(config.num_envs, 1, config.steps)
    return env, a2c.make(config.agent, env.spec, scale, hold() if held else None)


def fresh(config: Flags) -> tuple[Any, Any]:
    """Parameters and optimiser statistics before the first step, and the optimiser that goes with them."""
    import jax

    from agents import keys

    env, parts = build(config, held=False)
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(config.seed), 1))
    state = parts.agent.init(keys.key(config.seed), timestep)
    updates = actor_critics.iterations(config.agent, runs.Scale(config.num_envs, 1, config.steps))
    return (state.params, state.optimiser), actor_critics.optimiser(config.agent, updates)


def work(index: int, config: Flags, block: Any, lock: Any, taken: Any, reports: Any) -> None:
    """A worker: plays and applies gradients until all of them have taken `config.steps` steps.

    Args:
      index: of the worker; its environments and actions are drawn from the seed and this.
      config: the run's.
      block: bytes of the shared parameters and statistics.
      lock: of `block` and `taken`.
      taken: environment steps of all workers so far.
      reports: a queue of `(steps, episodes, mean return)`, one per update.
    """
    import jax
    import optax

    from agents import keys
    from experiments import loops

    example, optimiser = fresh(config)
    shared = Shared(example, block)
    env, parts = build(config, held=True)
    loop = loops.in_graph(env, *parts, num_envs=config.num_envs, iterations=1)
    step = jax.jit(loop.step)

    @jax.jit
    def descend(params: Any, statistics: Any, gradient: Any) -> tuple[Any, Any]:
        updates, statistics = optimiser.update(gradient, statistics, params)
        return optax.apply_updates(params, updates), statistics

    run = jax.jit(loop.init)(jax.random.fold_in(keys.key(config.seed), index))
    while taken.value < config.steps:
        with lock:
            params, _ = shared.read()
        run, metrics = step(run._replace(agent=run.agent._replace(params=params)))
        gradient = run.agent.optimiser
        with lock:
            shared.write(descend(*shared.read(), gradient))
            taken.value += config.agent.unroll * config.num_envs
            steps = taken.value
        reports.put((steps, int(metrics["episodes"]), float(metrics["episode_return"])))
    reports.put(None)


def train(config: Flags) -> dict[str, Any]:
    """Runs the workers, then evaluates the parameters that they leave.

    Raises:
      RuntimeError: a worker died.
    """
    import jax

    from agents import keys
    from experiments import loops

    folder = runs.folder_of("a3c", config)
    env, parts = build(config, held=False)
    judged = runs.judged(config, env)
    example, _ = fresh(config)
    shared = Shared(example)
    folder.mkdir(parents=True, exist_ok=True)
    records.write_json(folder / "config.json", {"experiment": "a3c", "flags": dataclasses.asdict(config)})
    context = multiprocessing.get_context("spawn")
    lock, taken, reports = context.Lock(), context.Value("q", 0, lock=False), context.Queue()
    began, rows = time.monotonic(), ["env_steps,seconds,episodes,episode_return"]
    workers = [
        context.Process(target=work, args=(i, config, shared.block, lock, taken, reports), daemon=True)
        for i in range(config.workers)
    ]
    for worker in workers:
        worker.start()
    working = config.workers
    while working:
        while reports.empty():
            if any(worker.exitcode for worker in workers):
                raise RuntimeError(f"a worker died (exit codes {[worker.exitcode for worker in workers]})")
            time.sleep(0.01)
        report = reports.get()
        if report is None:
            working -= 1
        elif report[1]:
            rows.append(f"{report[0]},{time.monotonic() - began:.2f},{report[1]},{report[2]:.6g}")
    for worker in workers:
        worker.join()
    (folder / "metrics.csv").write_text("\n".join(rows) + "\n")
    evaluate = jax.jit(loops.evaluation(judged, parts.agent, config.eval_episodes))
    returns = evaluate(shared.read()[0], keys.key(config.seed + 1))["eval_return"]
    summary = {
        "env": config.env,
        "workers": config.workers,
        "env_steps": int(taken.value),
        "wall_seconds": time.monotonic() - began,
        "eval_return": float(returns.mean()),
    }
    records.write_json(folder / "summary.json", summary)
    print(f"mean return of {config.eval_episodes} episodes {summary['eval_return']:.1f}; {folder}")
    return summary


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Reads flags and runs; bad flags are one line and exit code 2."""
    import sys

    try:
        config = flags.parse(Flags, sys.argv[1:] if argv is None else argv, "python -m experiments.a3c")
        flags.check(config)
        if config.resume or config.sweep:
            raise ValueError("--resume, --sweep: A3C has neither")
        build(config, held=False)
    except ValueError as error:
        flags.fail(error)
    return train(config)


if __name__ == "__main__":
    main()
