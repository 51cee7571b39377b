"""Runs that cannot fit into memory, refused by the shapes of their state before anything is compiled."""

import contextlib
import math
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.run import actors, flags

if TYPE_CHECKING:
    from agents.base import Tree
    from envs.base import Spec
    from experiments.drivers.base import RunState
    from experiments.drivers.contract import Parts
    from experiments.drivers.devices import Layout
    from experiments.run.flags import Common

LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""Where Linux says how much memory a container may use."""

LENGTHS = ("buffer_size", "batch_size", "unroll", "warmup", "updates", "epsilon_steps", "target_period")
"""Counts of an agent that are no sizes of its networks."""


def check(config: "Common", runs: int, needs: dict[str, int], lay: "Layout") -> None:
    """Refuses runs that take more bytes than there are; nothing where that cannot be read.

    Args:
      config: the flags.
      runs: how many are trained side by side, seeds times points of a sweep.
      needs: bytes of one run, over all devices that share it, by what takes them; see `of_rows` and `of_state`.
      lay: the devices.

    Raises:
      ValueError: naming the flags, what they take and what there is.
    """
    most = max(needs.values())
    values = flags.flat(config)
    names = (["sweep"] if runs > config.seeds else []) + (["seeds"] if config.seeds > 1 else [])
    for part, taken in needs.items():
        names += responsible(config, part) if taken * 10 >= most else []
    told = ", ".join(f"{flags.flag(name)} {shown(values[name])}" for name in dict.fromkeys(names))
    each = ", ".join(f"{part} {in_words(taken)}" for part, taken in needs.items() if taken * 100 >= most)
    fit(told, runs * sum(needs.values()), lay, f" (of one run: {each})")


def fit(told: str, total: int, lay: "Layout", more: str = "") -> None:
    """Refuses what takes more bytes than there are; nothing where that cannot be read.

    Args:
      told: the flags that say so, with their values.
      total: bytes, over all devices.
      lay: the devices.
      more: to say of the bytes.

    Raises:
      ValueError: naming the flags, what they take and what there is.
    """
    there, where = available(lay)
    # A host's devices have one memory; those of a GPU machine have one each, and equal parts of the whole.
    total = total if where == "machine" else total // len(lay.devices)
    if there is not None and total > there:
        raise ValueError(
            f"{told}: would take at least {in_words(total)} of memory{more}, but the {where} has {in_words(there)}"
        )


def of_rows(config: "Common", spec: "Spec") -> dict[str, int]:
    """Bytes of the rows alone that a run's environments and evaluation have at any time, which take no tracing."""
    import jax

    from envs.base import blank

    row = sum(x.nbytes for x in jax.tree.leaves(blank(spec, 1)))
    return {"environments": row * config.num_envs, "evaluation": row * config.eval_episodes}


def of_state(
    config: "Common", spec: "Spec", shape: "RunState", parts: "Parts", runs: int, data: "Tree" = ()
) -> dict[str, int]:
    """Bytes of one run by what takes them: its state, and of what comes and goes the larger.

    Args:
      config: the flags.
      spec: the task.
      shape: a `drivers.base.RunState` of shapes `[G, r, ...]`, of all runs.
      parts: of a run.
      runs: how many there are.
      data: the arrays of the dataset that they share, if they learn from one.
    """
    import jax

    from envs import keys
    from replay.recorded import lend

    needs = {
        "agent": size(shape.agent),
        "environments": size((shape.env, shape.timestep, shape.live)),
        "replay": size(shape.replay),
    }
    needs = {part: taken // runs for part, taken in needs.items()}
    rows = of_rows(config, spec)
    needs["environments"] = max(needs["environments"], rows["environments"])  # a simulator's are not in the state
    evaluation = needs["environments"] * config.eval_episodes // config.num_envs
    if actors.apart(config) and config.send == "gradients":  # whose actors keep replays of their own
        return needs | {"evaluation": evaluation}
    stored = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), shape.replay)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Explicitly requested dtype")  # of an index into more than 2³¹ numbers
        sample = jax.eval_shape(parts.replay.sample, lend(parts.replay, stored, data), keys.key(0))
    batch = size(sample) * actors.sharers(config) - needs["replay"]  # of one that hands out all that it holds, nothing
    passing = ("batch", batch) if batch > evaluation else ("evaluation", evaluation)
    shared = {"dataset": size(data) // runs} if data else {}
    return needs | dict([passing]) | shared


def size(tree: "Tree") -> int:
    """Bytes of the arrays of a tree, or of their shapes."""
    import jax

    return sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(tree))


def responsible(config: "Common", part: str) -> list[str]:
    """The flags that most of what takes memory is due to."""
    values = flags.flat(config)
    named = {
        "environments": ["num_envs"],
        "evaluation": ["eval_episodes"],
        "batch": ["agent.batch_size"],
        "replay": ["agent.buffer_size"] if "agent.buffer_size" in values else ["num_envs", "agent.unroll"],
        "agent": [],
        "dataset": ["dataset"],
    }[part]
    known = [name for name in named if name in values]
    if known:
        return known
    sizes = {
        name: max(value if isinstance(value, tuple) else (value,))
        for name, value in values.items()
        if name.startswith("agent.") and name.removeprefix("agent.") not in LENGTHS and _is_count(value)
    }
    greatest = max(sizes.values(), default=0)
    return [name for name, value in sizes.items() if value == greatest] or ["num_envs"]


def _is_count(value: object) -> bool:
    """Whether a flag's value is a whole number, or a list of some."""
    each = value if isinstance(value, tuple) else (value,)
    return bool(each) and all(isinstance(x, int) and not isinstance(x, bool) for x in each)


def available(lay: "Layout") -> tuple[int | None, str]:
    """Bytes of memory that there are for a run, None where that cannot be read, and what has them."""
    device = lay.devices[0]
    if device.platform == "cpu":
        return physical(), "machine"
    with contextlib.suppress(Exception):  # a backend that does not count its memory
        return int(device.memory_stats()["bytes_limit"]), f"device ({device.device_kind})"
    return None, "device"


def physical() -> int | None:
    """Bytes of this machine's memory, or what its container may use of it; None where that cannot be read."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
    for path in LIMITS:
        with contextlib.suppress(OSError, ValueError):
            total = min(total, int(Path(path).read_text()))
    return total if total > 0 else None


def in_words(number: float) -> str:
    """Bytes as `24.9 GB`."""
    units = ("bytes", "kB", "MB", "GB", "TB", "PB")
    power = min(len(units) - 1, int(math.log(max(number, 1), 1000)))
    return f"{number / 1000**power:,.{1 if power else 0}f} {units[power]}"


def shown(value: object) -> str:
    """A flag's value as it is typed."""
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
