"""What the workers of `experiments.a3c` share and do."""

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from experiments import run
from experiments.parts import actor_critics

Make = Callable[..., Any]
"""`(agent flags, spec, size, optimiser or None) -> Parts`; a function of a module, so that another process finds it."""


def gradient_holder() -> Any:
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


def build(config: Any, make: Make, held: bool) -> Any:
    """The task, and the parts of an agent on it with its own optimiser, or with one that holds the gradient."""
    env = run.prepare.environment(config)
    return env, make(config.agent, env.spec, run.prepare.size_of(config), gradient_holder() if held else None)


def fresh(config: Any, make: Make) -> tuple[Any, Any]:
    """Parameters and optimiser statistics before the first step, and the optimiser that goes with them."""
    import jax

    from envs import keys

    env, parts = build(config, make, held=False)
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(config.seed), 1))
    state = parts.agent.init(keys.key(config.seed), timestep)
    updates = actor_critics.iterations(config.agent, run.prepare.size_of(config))
    return (state.params, state.optimiser), actor_critics.optimiser(config.agent, updates)


def work(index: int, config: Any, make: Make, block: Any, lock: Any, taken: Any, reports: Any, stop: Any) -> None:
    """A worker: plays and applies gradients until all of them have taken `config.steps` steps, or are told to stop.

    Args:
      index: of the worker; its environments and actions are drawn from the seed and this.
      config: the run's.
      make: of `experiments.a2c`.
      block: bytes of the shared parameters and statistics.
      lock: of `block` and `taken`.
      taken: environment steps of all workers so far.
      reports: a queue of `(index, steps, metrics, params)`, one per update, and None at the end; the parameters are
        those after that update where an evaluation is due, and None elsewhere.
      stop: whether to stop.
    """
    import jax

    from agents.common import optimisers
    from envs import keys
    from experiments.drivers import in_graph

    example, optimiser = fresh(config, make)
    shared = Shared(example, block)
    env, parts = build(config, make, held=True)
    loop = in_graph.loop(env, *parts, num_envs=config.num_envs, iterations=1)
    step = jax.jit(loop.step)

    @jax.jit
    def descend(params: Any, statistics: Any, gradient: Any) -> tuple[Any, Any]:
        params, statistics, told = optimisers.step(optimiser, gradient, statistics, params)
        return (params, statistics), told

    run = jax.jit(loop.init)(jax.random.fold_in(keys.key(config.seed), index))
    eval_every = config.eval_every or max(1, config.steps // 20)
    while taken.value < config.steps and not stop.value:
        with lock:
            params, _ = shared.read()
        run, metrics = step(run._replace(agent=run.agent._replace(params=params)))
        gradient = run.agent.optimiser
        with lock:
            tree, told = descend(*shared.read(), gradient)
            shared.write(tree)
            before, steps = taken.value, taken.value + config.agent.unroll * config.num_envs
            taken.value = steps
            after = shared.read()[0] if before // eval_every != steps // eval_every else None
        reports.put((index, steps, {name: float(value) for name, value in {**metrics, **told}.items()}, after))
    reports.put(None)


def run_worker(*arguments: Any) -> None:
    """`work` in a process of its own, which leaves Ctrl-C to the one that started it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with_parent()
    work(*arguments)


def end_with_parent() -> None:
    """Ends this process as soon as the one that started it has ended, even if that was killed."""

    def watch() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def reported(workers: list[Any], reports: Any) -> Iterator[tuple[int, int, dict[str, float], Any]]:
    """What the workers report, until all have ended.

    Raises:
      RuntimeError: one died.
    """
    working = len(workers)
    while working:
        while reports.empty():
            if any(worker.exitcode for worker in workers):
                raise RuntimeError(f"a worker died (exit codes {[worker.exitcode for worker in workers]})")
            time.sleep(0.01)
        report = reports.get()
        if report is None:
            working -= 1
        else:
            yield report


def merged(metrics: list[dict[str, float]]) -> dict[str, float]:
    """Metrics of several updates as one: episodes are added up, their returns and lengths are means over them."""
    import numpy as np

    ended = np.array([each["episodes"] for each in metrics])
    whole = {"episodes": float(ended.sum())}
    for name in metrics[0].keys() - whole.keys():
        values = np.array([each[name] for each in metrics])
        if name.startswith("episode_"):
            whole[name] = float(values[ended > 0] @ ended[ended > 0] / ended.sum()) if ended.any() else float("nan")
        else:
            whole[name] = float(values.mean())
    return whole
