"""Datasets on disk: what is written is read again, and what is damaged is refused whole."""

import json

import jax
import numpy as np
import pytest

import replay
from envs.base import Box, Discrete, Spec
from replay import files
from tests.sets import drawn

SPEC = Spec("small", {"x": Box((4, 4, 1), 0, 255, np.uint8), "deep": {"v": Box((2,))}}, Discrete(3))


@pytest.fixture
def path(tmp_path):
    replay.save(drawn(SPEC, env="suite/task", env_options=("a=1",), about={"policy": "random"}), tmp_path / "a.npz")
    return tmp_path / "a.npz"


def rewritten(path, **changes):
    """The file with entries changed, or taken out where they are None."""
    with np.load(path) as archive:
        content = {name: archive[name] for name in archive.files} | changes
    with path.open("wb") as file:
        np.savez(file, **{name: x for name, x in content.items() if x is not None})


def test_a_dataset_is_read_as_it_was_written(path):
    found, given = replay.load(path), drawn(SPEC)
    jax.tree.map(np.testing.assert_array_equal, found.rows, given.rows)
    assert jax.tree.map(lambda x: x.dtype, found.rows) == jax.tree.map(lambda x: x.dtype, given.rows)
    assert (found.env, found.env_options, found.about) == ("suite/task", ("a=1",), {"policy": "random"})
    assert files.header(path)["env"] == "suite/task"
    assert [each.name for each in path.parent.iterdir()] == ["a.npz"]  # nothing is left beside it


def test_a_failed_write_leaves_what_was_there(path, monkeypatch):
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space"):
        replay.save(drawn(SPEC), path)
    assert path.read_bytes() == before and len(list(path.parent.iterdir())) == 1
    with pytest.raises(ValueError, match=r"b.txt: must end in .npz"):
        replay.save(drawn(SPEC), path.with_name("b.txt"))


def refused(path):
    with pytest.raises(ValueError) as caught:
        replay.load(path)
    assert "\n" not in str(caught.value) and str(caught.value).startswith(str(path))
    return str(caught.value)


@pytest.mark.parametrize("part", [0.2, 0.9, 0.999])
def test_a_file_that_was_cut_off_is_refused(path, part):
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * part)])
    assert "is no .npz, or was cut off" in refused(path)


def test_a_flipped_byte_is_noticed(path):
    whole = bytearray(path.read_bytes())
    at = whole.find(b"reward.npy") + 200
    whole[at] ^= 255
    path.write_bytes(bytes(whole))
    assert "reward cannot be read" in refused(path)


def test_what_is_no_dataset_is_refused(path, tmp_path):
    assert "there is no such file" in refused(tmp_path / "none.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    assert "has no header" in refused(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("hello")
    assert "is no .npz" in refused(tmp_path / "text.npz")
    np.save(tmp_path / "array.npy", np.zeros(3))
    assert "is an array and no .npz" in refused(tmp_path / "array.npy")
    rewritten(path, reward=None, action=None)
    assert "has no reward, action" in refused(path)


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"format": files.FORMAT + 1}, "format 2 is of a later bellmax; this one reads formats up to 1"),
        ({"format": "x"}, "header is damaged"),
        ({}, "header is damaged"),
        ([], "header is damaged"),
        ({"format": 1, "env": 3}, "header is damaged; env must be text"),
    ],
)
def test_a_header_of_a_later_format_or_damaged_is_refused(path, header, told):
    rewritten(path, header=np.array(json.dumps(header)))
    assert told in refused(path)


def test_rows_are_checked_when_they_are_read(path):
    reward = replay.load(path).rows.timestep.reward.copy()
    reward[3] = np.nan
    rewritten(path, reward=reward)
    assert "episode 0, row 3 of it: reward is not finite" in refused(path)
