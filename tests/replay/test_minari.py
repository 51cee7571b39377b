"""Sets of Minari: what is written is read again, without a network."""

import socket

import jax
import numpy as np
import pytest

from envs.base import Box, Discrete, Spec
from replay import minari_sets
from tests.sets import drawn

SPECS = {
    "vector": Spec("small", Box((3,)), Box((2,), -1.0, 1.0)),
    "image": Spec("small", {"x": Box((8, 8, 3), 0, 255, np.uint8), "v": Box((2,))}, Discrete(4)),
}


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Minari with a folder of its own, and no network."""
    pytest.importorskip("minari", reason="the package minari, of the extra offline, is not installed")
    pytest.importorskip("h5py", reason="the package h5py, of the extra offline, is not installed")
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tmp_path


@pytest.mark.parametrize("name", SPECS)
@pytest.mark.filterwarnings("ignore")
def test_a_set_is_read_as_it_was_written(name, alone):
    data = drawn(SPECS[name], env="suite/task", env_options=("a=1",), about={"policy": "random"})
    minari_sets.save(data, "minari/small/random-v0")
    found = minari_sets.load("minari/small/random-v0")
    jax.tree.map(np.testing.assert_array_equal, found.rows.timestep, data.rows.timestep)
    taken = data.rows.timestep.step_type != 2
    np.testing.assert_array_equal(found.rows.action[taken], data.rows.action[taken])
    assert jax.tree.map(lambda x: x.dtype, found.rows) == jax.tree.map(lambda x: x.dtype, data.rows)
    assert (found.env, found.env_options, found.about) == ("suite/task", ("a=1",), {"policy": "random"})
    import minari

    first = minari.load_dataset("small/random-v0")[0]
    assert len(first.rewards) == len(first.actions) == len(first.terminations) == len(first.truncations) == 9
    assert len(jax.tree.leaves(first.observations)[0]) == 10
    with pytest.raises(ValueError, match="there is such a set already"):
        minari_sets.save(data, "minari/small/random-v0")


@pytest.mark.filterwarnings("ignore")
def test_refusals_are_one_line_and_leave_nothing(alone):
    with pytest.raises(ValueError, match="minari/none-v0: is not on this machine"):
        minari_sets.load("minari/none-v0")
    data = drawn(SPECS["vector"])
    with pytest.raises(ValueError, match="minari/a b: Malformed dataset ID"):
        minari_sets.save(data, "minari/a b")
    minari_sets.save(data, "minari/small-v0")
    file = next(alone.rglob("*.hdf5"))
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ValueError) as caught:
        minari_sets.load("minari/small-v0")
    assert str(caught.value).startswith("minari/small-v0: ") and "\n" not in str(caught.value)


def test_without_minari_the_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "minari", None)
    with pytest.raises(ValueError, match=r"minari/x-v0: needs the package minari, which is not installed"):
        minari_sets.load("minari/x-v0")
