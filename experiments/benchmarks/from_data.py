"""What `experiments.benchmark` measures of learning from recorded episodes; see `experiments.benchmarks.ours`."""

import shutil
import tempfile
import weakref
from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from experiments.benchmarks.components import tupled
from experiments.benchmarks.worker import Run
from experiments.run import Size

if TYPE_CHECKING:
    from replay.dataset import Dataset

OBSERVED, ACTIONS, LENGTH = 17, 6, 1_000
"""HalfCheetah's shapes."""


def recorded(transitions: int) -> "Dataset":
    """A dataset of random numbers, of about so many transitions in episodes of `LENGTH`."""
    import numpy as np

    from envs.base import FIRST, LAST, MID, host_rows
    from replay import dataset
    from replay.base import Step

    rng = np.random.default_rng(0)
    episodes = max(1, transitions // LENGTH)
    rows = episodes * (LENGTH + 1)
    kind = np.full((episodes, LENGTH + 1), MID, np.int8)
    kind[:, 0], kind[:, -1] = FIRST, LAST
    numbers = rng.normal(size=(rows, OBSERVED + 1)).astype(np.float32)
    reward = np.where(kind.ravel() == FIRST, 0, numbers[:, -1])
    timestep = host_rows(kind.ravel(), reward.astype(np.float32), np.ones(rows, np.float32), numbers[:, :-1].copy())
    action = rng.uniform(-1, 1, (rows, ACTIONS)).astype(np.float32)
    return dataset.of(Step(timestep, action))


def loading(transitions: int, held: bool) -> Callable[[], float | tuple[float, float]]:
    """A dataset from its file until it is checked, known and on the device as a run has it.

    Args:
      transitions: of the dataset.
      held: measure the bytes that the device then holds, in bytes of the arrays of the file; else the time.
    """
    import jax

    import replay
    from experiments.drivers import devices
    from experiments.run import data
    from replay import dataset

    folder = tempfile.mkdtemp(prefix="bellmax-loading-")
    path = str(Path(folder) / "set.npz")
    replay.save(recorded(transitions), path)
    lay = devices.layout(1)

    def on_device() -> int:
        told = lay.devices[0].memory_stats()
        return told["bytes_in_use"] if told else sum(x.nbytes for x in jax.live_arrays())

    def run() -> float | tuple[float, float]:
        before = on_device()
        found = data.loaded("--dataset", path)
        dataset.facts(found)
        lent = jax.block_until_ready(devices.common(lay, replay.arrays(found)))
        taken = on_device() - before
        del lent
        return (float(taken), float(found.nbytes)) if held else 1.0

    weakref.finalize(run, shutil.rmtree, folder)
    return run


def offline_updates(agent: str, config: Mapping[str, Any], seeds: int, transitions: int, calls: int) -> Run:
    """Updates of a command that learns from a dataset, of random numbers, seeds spread over the devices.

    Args:
      agent: the command.
      config: its flags of the agent.
      seeds: how many.
      transitions: of the dataset.
      calls: updates of each seed. One with a `delay` counts as so many, since it makes so many steps of the critics.
    """
    import jax
    import numpy as np

    import replay
    from envs import keys
    from envs.base import Box, Spec
    from experiments.drivers import devices, offline
    from replay import dataset

    data = recorded(transitions)
    spec = Spec("shapes", Box((OBSERVED,)), Box((ACTIONS,), -1.0, 1.0), LENGTH)
    module = import_module(f"experiments.{agent}")
    flags, size = module.Config(**tupled(config)), Size(1, 1, 1_000_000, dataset.facts(data))
    counted = getattr(flags, "delay", 1)
    lay = devices.layout(seeds)
    lent = devices.common(lay, replay.arrays(data))
    hypers = {"run": np.arange(seeds)}
    nothing: Any = SimpleNamespace(loop=SimpleNamespace(evaluate=None), close=None)  # is evaluated
    driver = offline.driver(nothing, spec, lambda _: module.make(flags, spec, size), hypers, lay, lent,
                            iterations=max(1, calls // counted))  # fmt: skip
    held = [driver.loop.init(keys.key(np.arange(seeds)))]

    def run() -> float:
        held[0], _ = driver.loop.step(held[0])
        jax.block_until_ready(held[0])
        return float(seeds * counted * max(1, calls // counted))

    run()
    return run
