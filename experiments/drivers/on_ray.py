"""Actors in processes of Ray, on this machine or on those of a cluster; needs the package `ray`."""

import contextlib
import logging
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.drivers.engines import Build, Engine, LostError

ROOT = Path(__file__).resolve().parents[2]
SHARE = 0.5
"""Of Ray's object store that messages in flight may take: beyond what it holds, Ray writes to disk and says nothing."""

_OPEN: set[int] = set()  # engines that are in use: the last to be closed ends Ray


def connect(address: str) -> None:
    """Joins a cluster, or starts one of this machine alone; before JAX computes anything, since Ray forks.

    Args:
      address: of the cluster, `auto` for the one that runs here; the empty string to start one, which listens on
        loopback alone and ends with this process.

    Raises:
      ValueError: there is no such cluster.
    """
    # Ray reads these when it is imported.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not address:
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # or else its ports are open to the network
    import ray

    if ray.is_initialized():
        return
    options: dict[str, Any] = {"address": address, "log_to_driver": False, "logging_level": logging.ERROR}
    if not address:
        options |= {"address": "local", "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(**options)
    except ConnectionError as error:
        raise ValueError(f"--ray {address}: no cluster answers there ({str(error).splitlines()[0]})") from None


def check_store(in_flight: int, told: str) -> None:
    """Refuses more messages under way than Ray's object store keeps in memory.

    Args:
      in_flight: bytes.
      told: the flags that say so, with their values.

    Raises:
      ValueError: beginning with `told`.
    """
    import ray

    store = int(ray.cluster_resources().get("object_store_memory", 0))
    if in_flight > SHARE * store:
        raise ValueError(
            f"{told}: {in_flight / 1e6:,.1f} MB of rows may be under way, more than half of Ray's object store "
            f"({store / 1e6:,.1f} MB), which would then write to disk"
        )


class Process:
    """What runs in a process of Ray: an actor that is made when it is first called, so that what fails is told."""

    def __init__(self, build: Build, actor: int, generation: int):
        """Of what is to be made."""
        self._build, self._which, self._made = build, (actor, generation), None

    def call(self, method: str, *arguments: object) -> Any:
        """Calls a method of the actor."""
        if self._made is None:
            self._made = self._build(*self._which)
        return getattr(self._made, method)(*arguments)

    def place(self) -> tuple[str, int]:
        """Node and number of this process."""
        import ray

        return ray.get_runtime_context().get_node_id(), os.getpid()


def environment() -> dict[str, str]:
    """Variables of an actor's process: one CPU device, hardly any threads, and the learner's packages and cache."""
    path = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    kept = {name: os.environ[name] for name in os.environ if name.startswith("JAX_")}
    return kept | {
        "PYTHONPATH": path,
        "JAX_PLATFORMS": "cpu",
        "CUDA_VISIBLE_DEVICES": "",  # Ray leaves all GPUs to actors that asked for none
        "XLA_FLAGS": "--xla_force_host_platform_device_count=1",
        "NPROC": "1",
        "OMP_NUM_THREADS": "1",
    }


def on_ray(build: Build) -> Engine:
    """Each actor is an actor of Ray; after `connect`. What it raises is raised with its traceback."""
    import ray
    from ray import exceptions

    crew: dict[int, tuple[Any, Any]] = {}
    _OPEN.add(id(crew))
    kept = ray.put(build)
    remote: Any = ray.remote(Process).options(
        runtime_env={"env_vars": environment()}, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD"
    )

    def end(actor: int) -> None:
        process, place = crew.pop(actor)
        ray.kill(process, no_restart=True)
        # A process that was stopped may not hear of it, and is killed if it is on this node.
        with contextlib.suppress(exceptions.RayError, OSError):
            node, pid = ray.get(place, timeout=0.1)
            if node == ray.get_runtime_context().get_node_id():
                os.kill(pid, signal.SIGKILL)

    def start(actor: int, generation: int) -> None:
        if actor in crew:
            end(actor)
        process = remote.remote(kept, actor, generation)
        crew[actor] = process, process.place.remote()

    def submit(actor: int, method: str, *arguments: object) -> "ray.ObjectRef":
        return crew[actor][0].call.remote(method, *arguments)

    def wait(tickets: Sequence["ray.ObjectRef"], seconds: float) -> list["ray.ObjectRef"]:
        done, _ = ray.wait(list(tickets), num_returns=1, timeout=seconds, fetch_local=True)
        if done and len(tickets) > 1:
            done, _ = ray.wait(list(tickets), num_returns=len(tickets), timeout=0, fetch_local=True)
        return done

    def result(ticket: "ray.ObjectRef") -> Any:
        try:
            return ray.get(ticket)
        except exceptions.RayTaskError:
            raise
        except exceptions.RayError as error:
            raise LostError(str(error)) from None

    def close() -> None:
        for actor in list(crew):
            end(actor)
        _OPEN.discard(id(crew))
        if not _OPEN:
            ray.shutdown()

    return Engine(start, ray.put, submit, wait, result, close)
