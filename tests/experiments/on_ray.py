"""What `test_ray.py` looks at, in a process of its own, since Ray starts before JAX does: `python -m ... SCENARIO`.

Prints one line of JSON.
"""

import json
import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=1"
os.environ["NPROC"] = "1"

from experiments.drivers import on_ray
from experiments.drivers.crew import Crew


class Worker:
    """An actor that answers after a while, or fails."""

    def __init__(self, actor: int, generation: int):
        self.actor, self.generation = actor, generation

    def work(self, seconds: float) -> tuple[int, int, int]:
        time.sleep(seconds)
        return self.actor, self.generation, os.getpid()

    def fail(self) -> None:
        raise KeyError("the user's own")

    def facts(self) -> dict[str, Any]:
        import jax
        import jax.numpy as jnp

        jax.jit(lambda x: x @ x)(jnp.ones((64, 64))).block_until_ready()
        device, threads = jax.devices(), list(Path("/proc/self/task").iterdir())
        return {"devices": len(device), "kind": device[0].platform, "threads": len(threads)}

    def close(self) -> None:
        pass


def faults() -> dict[str, Any]:
    crew = Crew(on_ray.on_ray(Worker), 2, patience=3.0)
    crew.begin(0)
    found: dict[str, Any] = {}
    for actor in range(2):
        crew.ask(actor, "facts")
    found["facts"] = [crew.take("facts", [actor])[1] for actor in range(2)]
    crew.ask(0, "work", 0.1)
    pid = crew.take("work", [0])[1][2]
    crew.ask(0, "work", 30.0)
    time.sleep(0.5)
    os.kill(pid, signal.SIGKILL)
    crew._calls[0][0] = crew._calls[0][0]._replace(arguments=(0.1,))
    began = time.monotonic()
    found["killed"] = [*crew.take("work", [0])[1][:2], time.monotonic() - began, crew.lost]
    crew.ask(1, "work", 0.1)
    pid = crew.take("work", [1])[1][2]
    os.kill(pid, signal.SIGSTOP)
    crew.ask(1, "work", 0.1)
    began = time.monotonic()
    found["stopped"] = [*crew.take("work", [1])[1][:2], time.monotonic() - began, crew.lost]
    time.sleep(1)
    left = Path(f"/proc/{pid}/stat")
    found["gone"] = not left.exists() or left.read_text().split()[2] == "Z"
    crew.ask(0, "fail")
    try:
        crew.take("fail", [0])
    except KeyError as error:
        found["raised"] = str(error)
    try:
        on_ray.check_store(10**15, "--actors 2, --ahead 1")
    except ValueError as error:
        found["store"] = str(error)
    crew.engine.close()
    return found


def equality() -> dict[str, Any]:
    import jax
    import numpy as np

    from experiments.drivers import engines
    from experiments.drivers.terms import Terms
    from tests.experiments import apart

    terms = Terms(actors=2, ahead=1, eval_actors=2, priorities=True)
    build = partial(made, terms)
    there, told, judged = apart.played(apart.by_rows("per", terms, on_ray.on_ray(build)))
    here, _, also = apart.played(apart.by_rows("per", terms, engines.inline(build)))
    pairs = zip(jax.tree.leaves((there, judged)), jax.tree.leaves((here, also)), strict=True)
    same = [bool(np.array_equal(a, b, equal_nan=True)) for a, b in pairs]
    return {"same": all(same), "leaves": len(same), "alive": float(told[-1]["actors_alive"][0])}


def made(terms: Any, actor: int, generation: int) -> Any:
    """An actor, wherever it is."""
    from tests.experiments import apart

    return apart.sending_rows("per", terms)(actor, generation)


def nodes() -> dict[str, Any]:
    """A cluster on this machine, of which the node that all actors are on is killed once there is another."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    first = cluster.add_node(num_cpus=2)
    on_ray.connect(cluster.address)
    import numpy as np

    from envs import keys
    from experiments.drivers.terms import Terms
    from tests.experiments import apart

    terms = Terms(actors=2, ahead=1, patience=30.0, priorities=True)
    run = apart.by_rows("per", terms, on_ray.on_ray(partial(made, terms)))
    state, _ = run.loop.step(run.loop.init(keys.key(np.array([3]))))
    rows = lambda state: np.asarray(state.replay.ring.fill)[0].tolist()  # noqa: E731
    cluster.add_node(num_cpus=2)
    before, began = rows(state), time.monotonic()
    cluster.remove_node(first, allow_graceful=False)
    lost, alive = 0.0, 0.0
    while not (lost >= 2 and alive == 2) and time.monotonic() - began < 120:
        state, metrics = run.loop.step(state)
        lost, alive = (float(metrics[name][0]) for name in ("actors_lost", "actors_alive"))
    found = {"before": before, "after": rows(state), "seconds": time.monotonic() - began, "lost": lost, "alive": alive}
    run.close()
    cluster.shutdown()
    return found


def together() -> dict[str, Any]:
    """What takes one start of Ray."""
    held = on_ray.on_ray(Worker)  # the last engine to be closed would end Ray
    found = {**faults(), **equality()}
    held.close()
    return found


if __name__ == "__main__":
    if sys.argv[1] != "nodes":
        on_ray.connect("")
    scenarios = {"together": together, "nodes": nodes}
    print(json.dumps(scenarios[sys.argv[1]]()), flush=True)
