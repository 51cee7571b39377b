"""How a run uses the processor, and where compiled programs are kept."""

import ctypes
import os
import platform
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.run import actors, flags

if TYPE_CHECKING:
    from experiments.run.flags import Common


def use_cores(config: "Common | None" = None) -> None:
    """Settles how XLA uses the CPU and where it keeps compiled programs; before JAX starts, unless told otherwise.

    A single run whose operations are small, and any run that has one core, has one device. Runs side by side have a
    device per core. Operations that are small are computed by the thread that reaches them, since handing them to
    others takes longer (docs/design.md, "Drivers"); where they are not, or where they might wait for another thread,
    XLA has a pool of threads.

    Args:
      config: flags of the run; None where there may be several devices' worth of work.
    """
    keep_compiled()
    if config is not None and actors.apart(config):
        return_memory()
    given = os.environ.get("XLA_FLAGS", "")
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    alone = cores == 1 if config is None else runs_alone(config, cores)
    if "xla_force_host_platform_device_count" not in given:
        learners = (
            config.seeds if config is not None and actors.apart(config) else 1
        )  # each of which has a device of its own
        devices = 1 if alone else max(cores, learners)
        os.environ["XLA_FLAGS"] = f"{given} --xla_force_host_platform_device_count={devices}".strip()
        # XLA's thread pool has NPROC threads, by default one per core, and at least one per device. An operation that
        # waits there for others waits for ever if no thread is left; with a single one XLA hands out nothing.
        inline = alone or (config is not None and runs_inline(config))
        os.environ.setdefault("NPROC", str(1 if inline else 4 * devices))


def return_memory() -> None:
    """Gives freed blocks of a megabyte and more back to the system at once, where the C library is glibc.

    By itself glibc takes blocks of up to 32 MB from a heap that shrinks only at its end, and a learner that receives
    rows while it learns comes to hold half a gigabyte that it does not use.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        for parameter in (-1, -3):  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of malloc.h
            mallopt(parameter, 2**20)


INLINE_LAYER = 128
"""Units up to which a dense layer is computed faster by one thread than handed to several."""
BESIDE_LAYER = 256
"""The same where runs side by side keep every core busy, so that no other thread has time to spare."""


def runs_alone(config: "Common", cores: int) -> bool:
    """Whether a command has one device: there is one core, or one run of small operations."""
    shared = actors.apart(config) and (config.engine == "threads" or config.learners > 1 or config.seeds > 1)
    if shared or config.devices > 1:
        return False
    return cores == 1 or (not several(config) and is_small(config, INLINE_LAYER))


def runs_inline(config: "Common") -> bool:
    """Whether runs side by side compute on one thread each: they are small, and nothing in them waits for a thread.

    LAPACK's routines on a batch do (`networks.initializers`), and there may be some in what users bring along.
    """
    module = sys.modules[type(config).__module__]
    ours = Path(getattr(module, "__file__", None) or "/").resolve().is_relative_to(Path(__file__).resolve().parents[1])
    waits = type(config).factorises or actors.apart(config) or config.devices > 1
    return several(config) and ours and ":" not in config.env and not waits and is_small(config, BESIDE_LAYER)


def several(config: "Common") -> bool:
    """Whether there are runs side by side."""
    return config.seeds * len(flags.grid(config)) > 1


def is_small(config: "Common", units: int) -> bool:
    """Whether layers have so many units at most and no images are seen."""
    hidden = getattr(config.agent, "hidden", ())
    widest = max(hidden, default=0) if isinstance(hidden, tuple) else hidden
    images = config.env.startswith("atari/") or getattr(config.agent, "frames", 1) > 1
    return widest <= units and not images


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
