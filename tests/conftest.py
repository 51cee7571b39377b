"""Every test runs with rank promotion forbidden, four host devices and a compilation cache shared by all processes."""

import gc
import inspect
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from experiments.run.cores import cache_folder
from tests.thorough import QUICK

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=4"
# XLA's pool has a thread per core; with as many devices as that, an operation that wants helpers can wait for ever.
os.environ.setdefault("NPROC", "8")
# Inherited by the commands that tests start, and kept, so that equal programs compile once on a machine.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache_folder() / "tests"))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config: pytest.Config) -> None:
    """Most of the time of short runs goes into compiling, so that all but slow ones compile with little effort.

    XLA reads its flags when it first compiles; processes that tests start inherit them.
    """
    if config.option.markexpr != "slow":
        os.environ["XLA_FLAGS"] += QUICK


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A process runs all tests of a file, and of the contract all tests of an agent, so that each compiles once."""
    from xdist.scheduler import LoadScopeScheduling

    class ByFileAndAgent(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            file, _, test = nodeid.partition("::")
            if not file.endswith(("test_contract.py", "test_all_systems.py")):
                return file
            arguments = test.partition("[")[2].rstrip("]").split("-")
            return f"{file}::{next((a for a in arguments if a not in ('pmap', 'shard_map')), '')}"

    return ByFileAndAgent(config, log)


MAPS = 25_000
"""Memory maps after which a process forgets what it compiled: Linux allows 65,530, and a program takes several."""


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """Between files, since a process that runs out of maps dies without a word."""
    maps = Path("/proc/self/maps")
    if (nextitem is None or nextitem.path != item.path) and maps.exists() and maps.read_bytes().count(b"\n") > MAPS:
        jax.clear_caches()
        gc.collect()


def claims(items: Iterable[pytest.Item]) -> list[str]:
    """What the tests say that they show, once for all cases of a test: its name and its docstring's first line."""
    cases: dict[tuple[str, str], int] = {}
    for item in items:
        file, _, name = item.nodeid.partition("::")
        sentence = name.partition("[")[0].removeprefix("test_").replace("_", " ").capitalize()
        more = (inspect.getdoc(getattr(item, "obj", None)) or "").partition("\n")[0]
        said = f"{sentence}. {more}".rstrip(" .") + "."
        cases[file, said] = cases.get((file, said), 0) + 1
    return [f"{file}: {said}" + (f" ({n} cases)" if n > 1 else "") for (file, said), n in cases.items()]


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """`make slow` prints what it will have shown when it passes."""
    return claims(items) if config.option.markexpr == "slow" else []
