"""One of several processes of a data-parallel training: `joined.py COORDINATOR PROCESSES INDEX OUT`.

Trains A2C on catch over two devices, of this process or of all of them, and saves its parameters.
"""

import sys
from pathlib import Path

import numpy as np

from experiments.drivers import devices, joining


def train(out: Path) -> None:
    """A few chunks; what came of them goes to `out` (.npz)."""
    import jax

    from envs import keys
    from tests.experiments.test_devices import driver

    made, lay = driver("a2c", 2, "pmap")
    state = made.loop.init(keys.key(np.arange(1)))
    for _ in range(3):
        state, metrics = made.loop.step(state)
    params = jax.tree.leaves(devices.collect(lay, state.agent.params))
    numbers = {str(i): x for i, x in enumerate(params)} | {f"metric {name}": x for name, x in metrics.items()}
    np.savez(out, **numbers)


if __name__ == "__main__":
    coordinator, processes, index, path = sys.argv[1:]
    joining.join(coordinator, int(processes), int(index))
    train(Path(path))
