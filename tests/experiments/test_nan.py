"""Losses and parameters that are not finite: the run stops, or goes on without the seed."""

import warnings
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.run import flags, prepare, records
from experiments.run import train as training
from tests.experiments.running import FLAGS, assert_same_state, rows, saved, steps_saved, summary


def prepared(folder, *extra):
    """A2C's small run, ready to train: seeds 3 and 4, chunks of 256 steps, evaluated and saved every second."""
    module = import_module("experiments.a2c")
    config = flags.parse(module.Flags, [*FLAGS["a2c"], "--out", str(folder), "--quiet", *extra], "x")
    return prepare.prepare(module.experiment, config)


def poisoned(ready, chunk, run, metrics_too=True):
    """The same, with one run's parameters NaN from some chunk on, and unless told otherwise its loss."""
    loop, done = ready.driver.loop, []

    def step(state):
        state, metrics = loop.step(state)
        done.append(1)
        if len(done) == chunk:
            # One run on each device.
            hurt = jnp.arange(ready.lay.runs) == run
            spoil = lambda x: jnp.where(hurt.reshape(-1, *[1] * (x.ndim - 1)), jnp.nan, x)  # noqa: E731
            params = jax.tree.map(lambda x: jax.device_put(spoil(x), x.sharding), state.agent.params)
            state = state._replace(agent=state.agent._replace(params=params))
            if metrics_too:
                metrics = metrics | {"loss": np.where(np.arange(ready.lay.runs) == run, np.nan, metrics["loss"])}
        return state, metrics

    return ready._replace(driver=ready.driver._replace(loop=loop._replace(step=step)))


def stopped(ready, capsys):
    """The line with which the run ends."""
    with pytest.raises(records.StoppedError) as stop:
        training.train(ready)
    assert stop.value.code == 1
    out, err = capsys.readouterr()
    assert not out
    before, last = err.strip().splitlines(), str(stop.value)
    assert all(line.startswith("warning: ") for line in before)
    return last


def resumed(folder, *extra):
    """What the run gives that goes on in a folder."""
    module = import_module("experiments.a2c")
    config = flags.parse(module.Flags, ["--resume", str(folder), *extra], "x.a2c")
    return training.train(prepare.prepare(module.experiment, config))


def test_stops_and_keeps_the_last_good_checkpoint(finished, tmp_path, capsys):
    line = stopped(poisoned(prepared(tmp_path / "run"), chunk=3, run=1), capsys)
    assert line == (
        "loss is nan at 768 steps of seed 4; the checkpoint of 512 steps is kept; "
        "--nan continue goes on with the other seeds"
    )
    assert steps_saved(tmp_path / "run") == [512]
    assert not (tmp_path / "run" / "summary.json").exists()
    # What it keeps is good: resumed without the cause, it is the run it would have been.
    assert resumed(tmp_path / "run")["env_steps"] == 2048
    assert_same_state(tmp_path / "run", finished("a2c").folder)
    assert rows(tmp_path / "run") == rows(finished("a2c").folder)


def test_parameters_that_no_loss_has_seen_are_not_saved(tmp_path, capsys):
    """The last update of a chunk comes after its last loss."""
    line = stopped(poisoned(prepared(tmp_path / "run"), chunk=4, run=0, metrics_too=False), capsys)
    assert line.startswith("a parameter of the policy is nan at 1,024 steps of seed 3; the checkpoint of 512 ")
    assert steps_saved(tmp_path / "run") == [512]


def test_goes_on_without_the_dead_seed(finished, tmp_path, capsys):
    result = training.train(poisoned(prepared(tmp_path / "run", "--nan", "continue"), chunk=3, run=1))
    _, err = capsys.readouterr()
    assert err == "warning: loss is nan at 768 steps of seed 4; going on without it\n"
    whole = finished("a2c").folder
    # The other seed is what it is without this one's death.
    mine, its = ([row for row in rows(folder) if row["seed"] == "3"] for folder in (tmp_path / "run", whole))
    assert mine == its
    dead = [row for row in rows(tmp_path / "run") if row["seed"] == "4" and int(row["env_steps"]) >= 768]
    assert {cell for row in dead for name, cell in row.items() if name not in ("seed", "env_steps", "kind")} == {""}
    alive = [row for row in rows(tmp_path / "run") if row["seed"] == "4" and int(row["env_steps"]) < 768]
    assert alive == [row for row in rows(whole) if row["seed"] == "4" and int(row["env_steps"]) < 768]
    content, expected = summary(tmp_path / "run"), summary(whole)
    assert content["eval_returns"] == [expected["eval_returns"][0], None]
    assert content["eval_returns_best"][0] == expected["eval_returns_best"][0]
    assert content["eval_returns_best"][1] is not None  # of before its death
    assert content["eval_iqm"] == expected["eval_returns"][0]
    assert content["eval_ci95"] == [None, None]  # of one living seed
    assert np.isnan(result["eval_returns"][1])
    assert (tmp_path / "run" / "curve.png").exists()
    assert saved(tmp_path / "run").keys() == saved(whole).keys()


def test_the_dead_stay_dead_when_resumed(tmp_path, capsys):
    ready = poisoned(prepared(tmp_path / "run", "--nan", "continue"), chunk=3, run=1)
    training.train(ready)
    capsys.readouterr()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = resumed(tmp_path / "run", "--steps", "2560")
    assert capsys.readouterr().err == ""  # its death is told once
    assert result["env_steps"] == 2560
    assert np.isfinite(result["eval_returns"]).tolist() == [True, False]


def test_stops_when_the_last_seed_dies(tmp_path, capsys):
    ready = poisoned(poisoned(prepared(tmp_path / "run", "--nan", "continue"), chunk=3, run=1), chunk=5, run=0)
    line = stopped(ready, capsys)
    assert line == "loss is nan at 1,280 steps of seed 3; the checkpoint of 1,024 steps is kept; no seed is left"
