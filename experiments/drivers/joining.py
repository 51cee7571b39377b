"""Learners in several processes, on one machine or many, that train one run together: where they meet `devices`.

Each process has one device of the layout and runs the same code: what is compiled over the layout averages gradients,
and what decides how a run goes on must come out the same in all of them.
"""

import contextlib
import socket
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Tree
from envs import parallel
from envs.parallel import AXIS
from experiments.drivers.devices import Layout, collect, mapped, spans

LOOPBACK = ("localhost", "127.0.0.1")
GO = b"go"


def join(coordinator: str, processes: int, index: int, seconds: float = 120.0) -> None:
    """Joins this process to a data-parallel run over several, before anything is computed.

    Args:
      coordinator: `host:port` of process 0.
      processes: how many join.
      index: which one this is.
      seconds: for which the others are waited for.

    Raises:
      ConnectionError: they do not come, or are not who they should be.
    """
    host, _, port = coordinator.rpartition(":")
    # JAX ends the process with a page of its own where somebody does not come, so all meet before.
    if index:
        _arrive(host, int(port), index, seconds)
    else:
        _await(host, int(port), processes, seconds)
    bound = f"127.0.0.1:{port}" if host in LOOPBACK else None
    jax.distributed.initialize(coordinator, processes, index, coordinator_bind_address=bound)


def _await(host: str, port: int, processes: int, seconds: float) -> None:
    """What process 0 does until all others are there."""
    deadline = time.monotonic() + seconds
    came: dict[int, socket.socket] = {}
    with contextlib.ExitStack() as stack:
        try:
            door = stack.enter_context(socket.create_server(("127.0.0.1" if host in LOOPBACK else "", port)))
        except OSError as error:
            raise ConnectionError(f"nobody can listen there ({error.strerror})") from None
        while len(came) < processes - 1:
            door.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                caller = stack.enter_context(door.accept()[0])
                caller.settimeout(5.0)
                number = int.from_bytes(caller.recv(4))
            except TimeoutError:
                missing = [str(i) for i in range(1, processes) if i not in came]
                if time.monotonic() < deadline:
                    continue  # a caller who said nothing
                raise ConnectionError(f"did not come within {seconds:g} s: learner {', '.join(missing)}") from None
            if number in came:
                raise ConnectionError(f"two processes say that they are learner {number}")
            if 0 < number < processes:
                came[number] = caller
        for caller in came.values():
            caller.sendall(GO)
        for caller in came.values():
            caller.recv(1)  # they close first, so that the port is free at once


def _arrive(host: str, port: int, index: int, seconds: float) -> None:
    """What the others do until all are there."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with socket.create_connection((host, port), timeout=5) as door:
                door.sendall(index.to_bytes(4))
                door.settimeout(seconds + 5)
                if door.recv(len(GO)) == GO:
                    return
            raise ConnectionError("learner 0 gave up, and says why")
        except (ConnectionRefusedError, socket.gaierror, TimeoutError) as error:
            if time.monotonic() > deadline:
                raise ConnectionError(f"learner 0 does not answer there ({error})") from None
            time.sleep(0.2)


def layout() -> Layout:
    """One run, trained together by the first device of each of the processes that joined."""
    first: dict[int, Any] = {}
    for device in jax.devices():
        first.setdefault(device.process_index, device)
    return Layout(1, tuple(first[i] for i in sorted(first)), 1, len(first) > 1)


def own(lay: Layout, tree: Tree) -> Tree:
    """What this process has of arrays `[G, r, ...]`: `[1, r, ...]` where there are others, and else all of them.

    That is also what a mapped function takes and gives in each of several processes.
    """
    if not spans(lay):
        return tree
    return jax.tree.map(lambda x: x.addressable_data(0) if isinstance(x, jax.Array) else x, tree)


def shapes(lay: Layout, function: Callable[[Tree], Tree], tree: Tree) -> Tree:
    """The shapes `[G, r, ...]` of what a mapped function gives of such shapes."""
    if not spans(lay):
        return jax.eval_shape(function, tree)

    def sized(groups: int, tree: Tree) -> Tree:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((groups, *x.shape[1:]), x.dtype), tree)

    return sized(len(lay.devices), jax.eval_shape(function, sized(1, tree)))


def gathered(lay: Layout, tree: Tree) -> Tree:
    """Arrays `[1, r, ...]` of each of several processes as numpy `[G, r, ...]`, whole; all else stays as it is.

    All processes call it together. Leaves are gathered one after the other, and this process keeps all of them.
    """
    from jax.experimental import multihost_utils

    def whole(x: Tree) -> Tree:
        if not isinstance(x, jax.Array):
            return x
        if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(jnp.asarray(whole(jax.random.key_data(x))), impl=jax.random.key_impl(x))
        return multihost_utils.process_allgather(np.asarray(x.addressable_data(0)), tiled=True)

    return jax.tree.map(whole, tree) if spans(lay) else tree


def totals(lay: Layout) -> Callable[[np.ndarray], np.ndarray]:
    """Sums over the processes of a layout of numbers `[n]` that each has; all of them call it together."""
    if not spans(lay):
        return lambda here: here
    total = mapped(lay, parallel.total)
    return lambda here: collect(lay, total(np.asarray(here, np.float32)[None, None]))[0]


def all_of(lay: Layout) -> Callable[[np.ndarray], np.ndarray]:
    """Numbers `[1, n]` of each process of a layout, one after the other; all of them call it together."""
    if not spans(lay):
        return lambda here: here
    gather = mapped(lay, lambda x: jax.lax.all_gather(x, AXIS, tiled=True))
    return lambda here: collect(lay, gather(here[None]))


def anyone(lay: Layout) -> Callable[[bool], bool]:
    """Whether it holds for any process of a layout; all of them call it together."""
    if not spans(lay):
        return lambda here: here
    total = totals(lay)
    return lambda here: bool(total(np.array([here]))[0])
