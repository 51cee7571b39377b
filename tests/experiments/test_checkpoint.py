import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import warnings
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from envs import keys
from experiments.run.checkpoint import Checkpointer

META = {"env": "bellmax/catch", "agent.learning_rate": 1e-3, "agent.hidden": (64, 64)}
ROOT = Path(__file__).parents[2]


class State(NamedTuple):
    params: Any
    optimiser: Any
    key: Any
    keys: Any
    sharded: Any
    host: np.ndarray
    score: np.float32
    steps: int
    best: float
    alive: bool
    name: str
    nothing: Any
    empty: Any


def sharding():
    mesh = jax.sharding.Mesh(np.array(jax.devices()), ("devices",))
    return jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("devices"))


def state(scale=1.0):
    params = {"w": jnp.arange(6.0).reshape(2, 3) * scale, "b": jnp.full(3, 0.5, jnp.bfloat16)}
    return State(
        params=params,
        optimiser=optax.adam(1e-3).init(params),
        key=jax.random.key(3),
        keys=jax.device_put(jax.random.split(jax.random.key(4), 4), sharding()),
        sharded=jax.device_put(jnp.arange(8, dtype=jnp.uint8).reshape(4, 2), sharding()),
        host=np.array([1.5, np.inf]),
        score=np.float32(2.5),
        steps=7,
        best=float("-inf"),
        alive=True,
        name="x",
        nothing=None,
        empty=jnp.zeros((0, 3)),
    )


def assert_same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert type(x) is type(y)
        if isinstance(x, jax.Array):
            assert x.dtype == y.dtype
            assert x.sharding.is_equivalent_to(y.sharding, x.ndim)
            if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key):
                x, y = jax.random.key_data(x), jax.random.key_data(y)
        np.testing.assert_array_equal(np.asarray(x), np.asarray(y))


def small(value, size=4):
    return {"x": jnp.full(size, value, jnp.float32), "n": int(value)}


@pytest.mark.parametrize("wait", [True, False])
def test_everything_comes_back_as_it_was(tmp_path, wait):
    with Checkpointer(tmp_path / "new" / "folder") as checkpoints:
        assert checkpoints.restore(state(), META) is None
        checkpoints.save(5, state(), META, wait=wait)
        step, restored = checkpoints.restore(state(0.0), META)
    assert step == 5
    assert_same(restored, state())


def test_template_says_where_arrays_go(tmp_path):
    saved = {"x": jnp.arange(8.0).reshape(4, 2), "key": jax.random.key(1), "own": keys.key(2)}
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, saved, {})
        shapes = jax.eval_shape(lambda: saved)
        plain = checkpoints.restore(shapes, {})[1]
        spread = checkpoints.restore(shapes | {"x": jax.ShapeDtypeStruct((4, 2), jnp.float32, sharding=sharding())}, {})
        host = checkpoints.restore(saved | {"x": np.zeros((4, 2), np.float32)}, {})[1]
    assert_same(plain, saved)
    assert len(spread[1]["x"].sharding.device_set) == 4
    np.testing.assert_array_equal(spread[1]["x"], saved["x"])
    assert type(host["x"]) is np.ndarray
    np.testing.assert_array_equal(host["x"], saved["x"])


def test_arrays_of_many_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.run.arrays.CHUNK", 1000)
    saved = {
        "odd": jnp.arange(13 * 7 * 11, dtype=jnp.int32).reshape(13, 7, 11),
        "sharded": jax.device_put(jnp.arange(4 * 999, dtype=jnp.int32).reshape(4, 999), sharding()),
        "host": np.arange(3001),
    }
    with Checkpointer(tmp_path, async_limit=0) as checkpoints:
        checkpoints.save(1, saved, {})
        assert len(list((tmp_path / "1" / "arrays").rglob("*"))) > 15
        assert_same(checkpoints.restore(saved, {})[1], saved)


def test_buffers_may_be_donated_after_save(tmp_path):
    clear = jax.jit(lambda x: x * 0, donate_argnums=0)
    with Checkpointer(tmp_path) as checkpoints:
        for step in range(1, 6):
            x, host = jnp.full(300_000, step, jnp.float32), np.full(300_000, step)
            checkpoints.save(step, {"x": x, "host": host}, {})
            clear(x)
            host[:] = 0
            restored = checkpoints.restore({"x": jnp.zeros(300_000), "host": host}, {})[1]
            assert (np.asarray(restored["x"]) == step).all()
            assert (restored["host"] == step).all()


def test_keeps_the_newest_and_replaces_a_step(tmp_path):
    with Checkpointer(tmp_path, keep=2) as checkpoints:
        for step in (10, 20, 30):
            checkpoints.save(step, small(step), {})
        checkpoints.wait()
        assert sorted(p.name for p in tmp_path.iterdir()) == ["20", "30"]
        checkpoints.save(30, small(31), {})
        assert checkpoints.restore(small(0), {})[1]["n"] == 31
        assert checkpoints.latest_step() == 30
        # Going on from an earlier step, the later ones are of the past.
        checkpoints.save(25, small(25), {})
        assert checkpoints.restore(small(0), {})[0] == 25
        assert sorted(p.name for p in tmp_path.iterdir()) == ["20", "25"]


def test_leftovers_of_killed_saves(tmp_path):
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(10, small(10), {}, wait=True)
        (tmp_path / "20.tmp" / "arrays").mkdir(parents=True)
        (tmp_path / "20.tmp" / "arrays" / "half").write_text("x")
        assert checkpoints.restore(small(0), {})[0] == 10
        # Killed while a step was being replaced, after the old one was moved away.
        (tmp_path / "10").rename(tmp_path / "10.old")
        assert checkpoints.restore(small(0), {})[0] == 10
        checkpoints.save(20, small(20), {}, wait=True)
        assert [p.name for p in tmp_path.iterdir()] == ["20"]
        checkpoints.save(20, small(21), {}, wait=True)
        (tmp_path / "20.old").mkdir()
        checkpoints.save(20, small(22), {}, wait=True)
        assert checkpoints.restore(small(0), {})[1]["n"] == 22
        assert [p.name for p in tmp_path.iterdir()] == ["20"]


def largest(folder):
    return max(
        (p for p in folder.rglob("*") if p.is_file() and "manifest" not in p.name), key=lambda p: p.stat().st_size
    )


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-10])


DAMAGES = {
    "flipped bit": lambda folder: flip(largest(folder)),
    "truncated": lambda folder: truncate(largest(folder)),
    "missing": lambda folder: largest(folder).unlink(),
    "manifest flipped": lambda folder: flip(folder / "manifest.json"),
    "manifest truncated": lambda folder: truncate(folder / "manifest.json"),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest garbled": lambda folder: (folder / "manifest.json").write_bytes(b"\xff\x00{"),
    "manifest other JSON": lambda folder: (folder / "manifest.json").write_text("[1]"),
}


def test_a_damaged_one_is_passed_over_with_a_warning(tmp_path):
    noise = jax.random.normal(jax.random.key(0), (1000,))
    for name, damage in DAMAGES.items():
        folder = tmp_path / name
        with Checkpointer(folder) as checkpoints:
            for step in (10, 20):
                checkpoints.save(step, {"x": noise + step}, {}, wait=True)
            damage(folder / "20")
            with pytest.warns(UserWarning, match=r"20 is damaged \(.+\); taking the one before"):
                step, restored = checkpoints.restore({"x": noise}, {})
            assert step == 10, name
            np.testing.assert_array_equal(restored["x"], noise + 10)
    damage(folder / "10")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert checkpoints.restore({"x": noise}, {}) is None
    assert len(caught) == 2
    # What is saved next counts as the newest, although the damaged step had a higher number.
    with Checkpointer(folder, keep=1) as checkpoints:
        checkpoints.save(5, {"x": noise}, {}, wait=True)
        assert checkpoints.restore({"x": noise}, {})[0] == 5


def test_of_another_run_is_refused(tmp_path):
    saved = state()
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, saved, META)
        with pytest.raises(ValueError, match="other flags") as error:
            checkpoints.restore(saved, {**META, "agent.learning_rate": 1e-4, "agent.hidden": (64, 64), "new": 1})
        assert "agent.learning_rate is 0.001 there, 0.0001 here" in str(error.value)
        assert "new is absent there, 1 here" in str(error.value)
        assert "hidden" not in str(error.value)
        other = saved._replace(
            params={"w": jnp.zeros((2, 4)), "b": jnp.zeros(3)}, steps=1.0, key=jax.random.key(0, impl="rbg"), nothing=3
        )
        with pytest.raises(ValueError, match="other shapes") as error:
            checkpoints.restore(other, META)
        for part in (
            "params/w is float32[2,3] there, float32[2,4] here", "params/b is bfloat16[3] there, float32[3] here",
            "steps is int there, float here", "key is key<fry>[] there, key<rbg>[] here", "nothing is absent there",
        ):  # fmt: skip
            assert part in str(error.value)
        with pytest.raises(ValueError, match=r"state f: a function cannot be saved"):
            checkpoints.save(2, {"f": assert_same}, META)
    with pytest.raises(ValueError, match="keep=0"):
        Checkpointer(tmp_path, keep=0)


def test_a_flag_that_is_newer_than_the_checkpoint_counts_as_its_default(tmp_path):
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, {"x": small(1)}, {"old": 1}, wait=True)
        step, _ = checkpoints.restore({"x": small(0)}, {"old": 1, "new": 2}, {"old": 5, "new": 2})
        assert step == 1
        with pytest.raises(ValueError, match="new is 2 there, 3 here"):
            checkpoints.restore({"x": small(0)}, {"old": 1, "new": 3}, {"old": 5, "new": 2})
        with pytest.raises(ValueError, match="old is 1 there, 5 here"):
            checkpoints.restore({"x": small(0)}, {"old": 5, "new": 2}, {"old": 5, "new": 2})


def test_a_folder_named_by_way_of_its_parent(tmp_path):
    (tmp_path / "here").mkdir()
    with Checkpointer(tmp_path / "here" / ".." / "run") as checkpoints:
        checkpoints.save(1, {"x": small(3)}, {}, wait=True)
        step, found = checkpoints.restore({"x": small(0)}, {})
    assert step == 1
    assert_same(found, {"x": small(3)})


def test_an_error_in_the_background_is_raised(tmp_path):
    (tmp_path / "file").write_text("")
    checkpoints = Checkpointer(tmp_path / "file" / "folder")
    checkpoints.save(1, small(1), {})
    with pytest.raises(OSError, match=r"file/folder: cannot be written \(Not a directory\)"):
        checkpoints.close()


def edited(folder, change):
    """Changes a manifest, and its checksum with it."""
    path = folder / "manifest.json"
    content = json.loads(json.loads(path.read_text())["content"])
    change(content)
    text = json.dumps(content)
    path.write_text(json.dumps({"crc32": zlib.crc32(text.encode()), "content": text}))


def pretending(folder, **changes):
    """Changes what an array says of itself, and its checksum with it."""
    path = folder / "arrays" / "1" / ".zarray"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    name = path.relative_to(folder).as_posix()
    edited(folder, lambda content: content["files"].update({name: zlib.crc32(path.read_bytes())}))


def put(content, name, value):
    content[name] = value


def replaced(path, make):
    """Puts a link or a pipe in the place of a file."""
    path.unlink()
    make(path)


MADE_UP = {
    "names a device": lambda folder: edited(folder, lambda c: c["files"].update({"/dev/zero": 1})),
    "names a file elsewhere": lambda folder: edited(folder, lambda c: c["files"].update({"../10/manifest.json": 1})),
    "a pipe": lambda folder: replaced(largest(folder), os.mkfifo),
    "a link": lambda folder: replaced(largest(folder), lambda path: path.symlink_to("/dev/zero")),
    "a pipe for a manifest": lambda folder: replaced(folder / "manifest.json", os.mkfifo),
    "a list of files": lambda folder: edited(folder, lambda c: put(c, "files", [])),
    "a list of flags": lambda folder: edited(folder, lambda c: put(c, "meta", [1])),
    "no fields": lambda folder: edited(folder, lambda c: c.pop("fields")),
    "fields that are numbers": lambda folder: edited(folder, lambda c: put(c, "fields", {"x": 1})),
    "a value of another type": lambda folder: edited(folder, lambda c: c["values"].update({"n": [1]})),
    "no value": lambda folder: edited(folder, lambda c: c["values"].clear()),
    "of another step": lambda folder: edited(folder, lambda c: put(c, "step", 7)),
    "a huge array": lambda folder: pretending(folder, shape=[10**12]),
    "huge pieces": lambda folder: pretending(folder, chunks=[10**12]),
    "another dtype": lambda folder: pretending(folder, dtype="<f8"),
}


@pytest.mark.parametrize("name", MADE_UP)
def test_a_made_up_one_is_passed_over_too(tmp_path, name):
    with Checkpointer(tmp_path) as checkpoints:
        for step in (10, 20):
            checkpoints.save(step, small(step, 1000), {}, wait=True)
        MADE_UP[name](tmp_path / "20")
        with pytest.warns(UserWarning, match=r"20 is damaged \(.+\); taking the one before") as warned:
            assert checkpoints.restore(small(0, 1000), {})[0] == 10
    assert len(warned) == 1 and "\n" not in str(warned[0].message)


def test_files_and_links_among_the_steps(tmp_path):
    folder, mine = tmp_path / "run", tmp_path / "mine"
    mine.mkdir()
    (mine / "keep").write_text("")
    with Checkpointer(folder) as checkpoints:
        checkpoints.save(10, small(10), {}, wait=True)
        (folder / "20").write_text("no folder")
        (folder / "30").symlink_to(mine)
        (folder / "40.old").symlink_to(mine)
        (folder / "50.tmp").write_text("")
        (folder / "60.tmp").symlink_to(mine)
        with pytest.warns(UserWarning, match=r"it is a (file|link), not a folder"):
            assert checkpoints.restore(small(0), {})[0] == 10
        checkpoints.save(20, small(20), {}, wait=True)
        assert checkpoints.restore(small(0), {})[0] == 20
    assert sorted(path.name for path in folder.iterdir()) == ["10", "20"]
    assert (mine / "keep").exists()
    for place in ("file", "link"):
        (tmp_path / place).symlink_to(mine) if place == "link" else (tmp_path / place).write_text("")
        with pytest.raises(ValueError, match=f"a {place} is in the place of a folder of checkpoints"):
            Checkpointer(tmp_path / place)


def test_readers_take_the_newest_while_a_writer_replaces_it(tmp_path):
    done = threading.Event()

    def write():
        with Checkpointer(tmp_path, keep=1) as writer:
            step = 1
            while not done.is_set():
                step += 1
                writer.save(step, small(step, 1000), {}, wait=True)

    with Checkpointer(tmp_path, keep=1) as first:
        first.save(1, small(1, 1000), {})
    thread = threading.Thread(target=write)
    thread.start()
    try:
        with Checkpointer(tmp_path) as reader:
            for _ in range(40):
                step, found = reader.restore(small(0, 1000), {})
                assert found["n"] == step and (np.asarray(found["x"]) == step).all()
    finally:
        done.set()
        thread.join()


def test_nothing_but_the_warning_is_printed(tmp_path, capfd):
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, small(1), {})
        checkpoints.restore(small(1), {})
    assert capfd.readouterr() == ("", "")


KILLED = """
import sys, jax.numpy as jnp, numpy as np
from experiments.run.checkpoint import Checkpointer

def state(k):
    return {"x": jnp.full(300_000, k, jnp.float32), "w": [jnp.full((8, 8), k, jnp.float32)] * 4, "n": k}

checkpoints = Checkpointer(sys.argv[1])
step, restored = checkpoints.restore(state(0), {}) or (0, state(0))
assert all((np.asarray(x) == step).all() for x in (restored["x"], *restored["w"], restored["n"]))
print(step, flush=True)
while True:
    step += 1
    checkpoints.save(step, state(step), {}, wait=step % 3 == 0)
    print(step, flush=True)
"""


def test_killed_at_random_moments_it_always_goes_on(tmp_path):
    rng, last = random.Random(0), 0
    command = [sys.executable, "-W", "error", "-c", KILLED, str(tmp_path)]
    for _ in range(3):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            restored = int(process.stdout.readline())
            assert restored >= last - 2  # at most one under way, one submitted
            time.sleep(rng.uniform(0.1, 1.0))
            process.send_signal(signal.SIGKILL)
            last = int((process.stdout.read().split("\n")[-2:-1] or [restored])[0])
    assert last > 0
    with Checkpointer(tmp_path) as checkpoints:
        template = {"x": np.zeros(300_000, np.float32), "w": [np.zeros((8, 8), np.float32)] * 4, "n": 0}
        restored = (checkpoints.restore(template, {}) or [0])[0]  # none, if killed before the first was whole
        assert restored >= last - 2


MEMORY = """
import json, sys, threading, time, jax, jax.numpy as jnp, numpy as np
from experiments.run.checkpoint import Checkpointer

def rss():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 / 2**20

def watch():
    global peak
    while True:
        peak = max(peak, rss())
        time.sleep(0.002)

shape, peak = (448, 2**20), 0
warm = {"x": jnp.ones(3)}
checkpoints = Checkpointer(sys.argv[1] + "/warm")
checkpoints.save(1, warm, {}, wait=True)
checkpoints.restore(warm, {})
checkpoints = Checkpointer(sys.argv[1])
threading.Thread(target=watch, daemon=True).start()
if sys.argv[2] == "save":
    write = jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)
    block, x = jax.random.bits(jax.random.key(0), (1, 2**20), jnp.uint8), jnp.zeros(shape, jnp.uint8)
    for i in range(shape[0]):
        x = write(x, block, (i, 0))
    before, peak = rss(), 0
    checkpoints.save(1, {"x": x.block_until_ready()}, {})
else:
    before, peak = rss(), 0
    jax.block_until_ready(checkpoints.restore({"x": jax.ShapeDtypeStruct(shape, jnp.uint8)}, {}))
print(json.dumps(peak - before))
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc")
def test_large_states_are_not_copied(tmp_path):
    environment = {key: value for key, value in os.environ.items() if key != "XLA_FLAGS"}
    for what, least, most in (("save", -100, 220), ("restore", 400, 448 + 350)):
        command = [sys.executable, "-c", MEMORY, str(tmp_path), what]
        output = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
        assert least < json.loads(output) < most, what
