import re
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import LAST
from envs.base import Environment, HostEnvironment
from envs.registry import TASKS
from tests.envs.test_envpool import check_runs_share_a_pool


def test_importing_is_light() -> None:
    heavy = "envpool gymnasium gymnax mujoco matplotlib pygame distrax rlax"
    tasks = ", ".join({module.removeprefix("envs.tasks.") for module, _ in TASKS.values()})
    code = (
        f"import sys; from envs.tasks import {tasks}; from envs.adapters import envpool, gymnasium, gymnax"
        f"; from envs import registry; registry.names('gymnax')\n"
        f"found = set('{heavy}'.split()) & set(sys.modules); assert not found, found"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("task", TASKS)
def test_own_tasks(task: str) -> None:
    env = envs.make(f"bellmax/{task}")
    assert isinstance(env, Environment)
    assert env.spec.name == f"bellmax/{task}"
    assert jax.eval_shape(env.reset, jax.random.key(0))[1].reward.shape == ()


def test_make() -> None:
    assert envs.make("bellmax/catch", rows=6).spec.observation.shape == (6, 5)
    gymnax = envs.make("gymnax/CartPole-v1")
    assert isinstance(gymnax, Environment)
    assert gymnax.spec.name == "gymnax/CartPole-v1"
    host = envs.make("envpool/MetaWorld/Push-v3", max_episode_steps=7)
    assert isinstance(host, HostEnvironment)
    assert (host.spec.name, host.spec.time_limit) == ("envpool/MetaWorld/Push-v3", 7)
    assert isinstance(envs.make("gymnasium/CartPole-v1"), HostEnvironment)


def test_names() -> None:
    assert envs.suites() == ("bellmax", "gymnax", "envpool", "gymnasium", "atari", "mujoco", "meta")
    for suite in envs.suites():
        found = envs.names(suite)
        assert found and found == tuple(sorted(found))
        assert all(name.startswith(f"{suite}/") for name in found)
    assert "bellmax/deep-sea" in envs.names("bellmax")
    assert "envpool/Pong-v5" in envs.names("envpool")
    with pytest.raises(ValueError, match="unknown suite 'gymnaz'; closest: gymnax"):
        envs.names("gymnaz")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("CartPole-v1", "suite/id, .*closest: .*envpool/CartPole-v1"),
        ("belmax/catch", "'belmax/catch'; closest: bellmax/catch"),
        ("bellmax/", "unknown environment"),
        ("", "unknown environment"),
        ("bellmax/cach", "unknown bellmax task 'cach'; closest: catch"),
        ("gymnax/CartPole", "CartPole-v1"),
        ("envpool/Pnog-v5", "closest: Pong-v5"),
        ("gymnasium/CartPoel-v1", "closest: CartPole-v1"),
    ],
)
def test_unknown_names(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(name)


def test_bad_options() -> None:
    with pytest.raises(ValueError, match="bellmax/catch has no option 'row'; allowed: rows, columns"):
        envs.make("bellmax/catch", row=3)
    with pytest.raises(ValueError, match=r"bellmax/flickering-catch refuses the options {'probability': 'half'}"):
        envs.make("bellmax/flickering-catch", probability="half")
    with pytest.raises(ValueError, match=r"envpool/CartPole-v1 refuses the options {'num_threads': 'two'}"):
        envs.make("envpool/CartPole-v1", num_threads="two")


@pytest.mark.parametrize(
    ("task", "option", "value"),
    [
        ("card-pairs", "cards", 6.0),
        ("catch", "rows", "six"),
        ("copy", "bits", 4.0),
        ("copy", "bits", True),
        ("copy", "bits", None),
        ("i-maze", "lengths", (5.5, 7)),
        ("i-maze", "lengths", 5.0),
        ("i-maze", "lengths", "long"),
        ("memory-chain", "length", 10.0),
        ("pendulum", "time_limit", 200.0),
        ("repeat-previous", "decks", 1.5),
        ("t-maze", "length", 5.5),
        ("teleport-maze", "goals", 2.0),
        ("teleport-maze", "time_limit", 30.5),
    ],
)
def test_numbers_of_something_are_whole(task: str, option: str, value: Any) -> None:
    told = f"bellmax/{task}: option {option} is {value!r}; allowed: a whole number"
    with pytest.raises(ValueError, match=re.escape(told)):
        envs.make(f"bellmax/{task}", **{option: value})


def test_whole_numbers_of_any_kind_are_taken() -> None:
    assert envs.make("bellmax/catch", rows=np.int64(6)).spec.observation.shape == (6, 5)
    assert envs.make("bellmax/pendulum", time_limit=None).spec.time_limit is None
    for lengths in (5, (5, 7), [np.int32(5)]):
        assert envs.make("bellmax/i-maze", lengths=lengths).spec.time_limit == 50


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("envpool", "gymnasium"):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(ValueError, match=f"pip install {package}"):
            envs.make(f"{package}/CartPole-v1")
        with pytest.raises(ValueError, match=f"pip install {package}"):
            envs.names(package)


def test_parse_options() -> None:
    words = ["size=8", "random=true", "map=None", "name=a=b", "rate=1e-3", "keep=(0, 2)", "text='1'", "word=two words"]
    assert envs.parse_options(words) == {
        "size": 8,
        "random": True,
        "map": None,
        "name": "a=b",
        "rate": 1e-3,
        "keep": (0, 2),
        "text": "1",
        "word": "two words",
    }
    for words, message in (
        (["size"], "'size'; allowed: name=value"),
        (["=3"], "'=3'"),
        (["a=1", "a=2"], "'a' is given"),
    ):
        with pytest.raises(ValueError, match=message):
            envs.parse_options(words)


def test_host_pool_equals_in_graph_stepping() -> None:
    env = envs.make("bellmax/catch", rows=4)
    key, steps = jax.random.key(5), 12
    actions = np.random.default_rng(0).integers(0, 3, (steps, 3), np.int32)

    @jax.jit
    def in_graph(keys: jax.Array) -> tuple:
        state, first = jax.vmap(env.reset)(keys)
        return first, jax.lax.scan(lambda s, a: jax.vmap(env.step)(s, a), state, jnp.asarray(actions))[1]

    keys = jax.random.split(key, 3)
    first, rest = in_graph(keys)
    host = envs.pool_of(env)
    assert host.spec is env.spec
    for seed in (5, [5], key, keys):
        pool = host.pool(3, seed)
        rows = [pool.reset()]
        for action in actions:
            pool.send(action)
            rows.append(pool.recv())
        assert isinstance(rows[-1].reward, np.ndarray)
        jax.tree.map(np.testing.assert_array_equal, rows[0], first)
        jax.tree.map(np.testing.assert_array_equal, jax.tree.map(lambda *x: np.stack(x), *rows[1:]), rest)
    assert (rest.step_type == LAST).any()
    jax.tree.map(np.testing.assert_array_equal, pool.reset(), first)
    frame = pool.frame()
    assert (frame.ndim, frame.dtype) == (3, np.uint8)
    with pytest.raises(ValueError, match=r"\[3\]; allowed: typed keys, \[\] or \[4\]"):
        host.pool(4, keys)
    with pytest.raises(ValueError, match=r"uint32\[2\]; allowed: typed keys"):
        host.pool(4, jax.random.PRNGKey(0))
    check_runs_share_a_pool(host, 6)
