"""The worker process of either side of `experiments.benchmark`, and how both of them call a replay.

Nothing of bellmax is imported here, so that a worker can run under another interpreter.
"""

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from jax import Array

    from envs.base import Tree

Run = Callable[[], Any]
"""Does a piece of work and returns how many units it did, or what it measured itself and the units of that."""
PACKAGES = {
    **{"rejax": "rejax", "gymnax": "gymnax", "jumanji": "jumanji", "flashbax": "flashbax"},
    **{"sb3": "stable-baselines3", "sbx": "sbx-rl", "orlax": "orlax", "rllib": "ray"},
    **{"jax": "jax", "jaxlib": "jaxlib", "flax": "flax", "torch": "torch", "gymnasium": "gymnasium"},
}


def versions() -> dict[str, str]:
    """What of `PACKAGES` is installed, in which version."""
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def serve(work: Mapping[str, Callable[..., Run]]) -> None:
    """Answers requests on stdin, a JSON line each, until it closes.

    `{"prepare": name, "arguments": {...}}`, `{"time": [name, arguments]}`, `{"forget": true}` and `{"versions": true}`.
    The answer is `{"value": ...}`, for a time `[seconds, units]`; or `{"missing": package}` or `{"error": message}`.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    prepared: dict[str, Run] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": answered(request, work, prepared)}
        except ModuleNotFoundError as error:
            answer = {"missing": (error.name or str(error)).partition(".")[0]}
        except Exception as error:  # a peer that fails is reported, and the benchmark goes on
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


def answered(request: Mapping[str, Any], work: Mapping[str, Callable[..., Run]], prepared: dict[str, Run]) -> Any:
    """The value of one request."""
    if "versions" in request:
        return versions()
    if "forget" in request:
        return prepared.clear()
    name, arguments = request["work"], request["arguments"]
    label = json.dumps([name, arguments], sort_keys=True)
    if label not in prepared:
        prepared[label] = work[name](**arguments)
    if request.get("prepare"):
        return None
    began = time.perf_counter()
    done = prepared[label]()
    return list(done) if isinstance(done, tuple) else [time.perf_counter() - began, done]


class Calls(NamedTuple):
    """What of a replay is called: `init()`, `add(state)`, `sample(state, key)` and `update(state, drawn)`."""

    init: Callable[[], Any]
    add: Callable[[Any], Any]
    sample: Callable[[Any, Any], Any]
    update: Callable[[Any, Any], Any] | None = None


def replay_calls(replay: Calls, key: "Array", operations: str, scan: bool, seeds: int, calls: int) -> Run:
    """Calls of a replay, the same for every library: seeds vmapped, state donated.

    Args:
      replay: the state of one seed and what is done to it: `add` writes a row of lanes, `sample` draws a batch and
        `update` gives the batch `drawn` new priorities.
      key: a key.
      operations: some of "add", "sample" and "update", in this order and joined by "+".
      scan: whether the calls are the iterations of one jitted scan, or one jitted call each.
      seeds: how many, vmapped; 1 for no vmap.
      calls: per run.
    """
    import jax
    import jax.numpy as jnp

    several = seeds > 1

    def over_seeds(fn: Callable) -> Callable:
        return jax.vmap(fn) if several else fn

    def once(state: "Tree", drawn: "Tree", key: "Array") -> "tuple[Tree, Tree]":
        if "add" in operations:
            state = replay.add(state)
        if "sample" in operations:
            drawn = replay.sample(state, key)
        if "update" in operations:
            assert replay.update
            state = replay.update(state, drawn)
        return state, drawn if "sample" in operations else None

    def scanned(state: "Tree", drawn: "Tree", keys: "Array") -> tuple:
        def body(carry: tuple, key: "Array") -> tuple[tuple, None]:
            state, now = once(carry[0], drawn, key)
            return (state, carry[1] + sum(jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(now))), None

        return jax.lax.scan(body, (state, jnp.float32(0)), keys)[0]

    make = jax.jit(lambda: jax.vmap(lambda _: replay.init())(jnp.arange(seeds)) if several else replay.init())
    keys = jax.random.split(key, (seeds, calls) if several else calls)
    each = [jax.block_until_ready(keys[:, i] if several else keys[i]) for i in range(calls)]
    jitted = jax.jit(over_seeds(scanned if scan else once), donate_argnums=0)
    held = [jax.block_until_ready(make())]
    drawn = jax.block_until_ready(jax.jit(over_seeds(replay.sample))(held[0], each[0]))

    def run() -> float:
        state, last = held.pop(), None
        for key in [keys] if scan else each:
            state, last = jitted(state, drawn, key)
        jax.block_until_ready((state, last))
        held.append(state)
        return calls

    run()
    return run


def priorities(batch: int) -> "Array":
    """Different numbers, for either side to set."""
    import jax.numpy as jnp

    return 0.1 + jnp.abs(jnp.sin(jnp.arange(batch, dtype=jnp.float32)))
