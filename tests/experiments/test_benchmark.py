"""The benchmark at a tiny scale, bellmax alone: its numbers mean nothing, but every part must give them."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from experiments import benchmark
from experiments.benchmark import Config
from experiments.benchmarks import apart, ours, peers, settings, worker
from experiments.benchmarks import cases as benchmark_cases
from experiments.benchmarks import page as benchmark_page
from experiments.benchmarks.cases import Case, Work
from tests.experiments.running import CATCH


class Clock:
    """A worker that takes the seconds it is told."""

    def __init__(self, **seconds: float):
        self.seconds, self.asked = seconds, []

    def ask(self, **request):
        if "forget" in request:
            return {"value": None}
        name = request["work"]
        if name not in self.seconds:
            return {"missing": "nowhere"}
        self.asked.append((name, request["prepare"]))
        return {"value": None if request["prepare"] else [self.seconds[name], 10.0]}


class Told:
    """A worker whose work measured itself."""

    def __init__(self, *value: float):
        self.value = list(value)

    def ask(self, **request):
        return {"value": self.value}


def test_own_parts_are_measured(tmp_path: Path) -> None:
    (tmp_path / "benchmark.md").write_text("# Old\n\n| old |\n\n## Notes\n\nKept.\n")
    flags = ["--only", "env", "--peers", "--repeats", "1", "--scale", "1e-4"]
    benchmark.main([*flags, "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "speed" / "env.json").read_text())["rows"]
    assert {row["part"] for row in rows} == {"env"}
    assert {row["seeds"] for row in rows} == {1, 16}
    assert all(row["ours"] > 0 and row["theirs"] is None for row in rows)
    page = (tmp_path / "benchmark.md").read_text()
    assert all(row["name"] in page for row in rows)
    assert "Kept." in page and "old" not in page
    assert "jax" in page and "cores" in page


TINY = {**settings.DQN, "hidden": (8,), "batch_size": 4, "buffer_size": 200, "warmup": 8}


@pytest.mark.parametrize(("work", "env"), [("in_graph", "bellmax/cartpole"), ("on_host", "envpool/CartPole-v1")])
def test_trainings_count_their_steps(work: str, env: str) -> None:
    run = ours.WORK[work](agent="dqn", env=env, seeds=2, steps=40, num_envs=4, config=TINY)
    assert run() == 2 * 40
    assert run() == 2 * 40


def test_trials_are_counted_by_their_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def in_graph(*arguments: object) -> worker.Run:
        asked["arguments"] = arguments
        return lambda: 2 * 25_856.0

    monkeypatch.setattr(ours, "in_graph", in_graph)
    (case,) = benchmark_cases.cases(("trials",), 1.0)
    (work,) = case.ours.values()
    assert case.unit == "trials/s" and ours.WORK[work.function](**work.arguments)() == 2 * 256
    agent, env, seeds, steps, num_envs, config, options = asked["arguments"]
    assert (agent, env, seeds, steps, num_envs, options) == ("rl2", "bellmax/bandits", 1, 600_000, 256, {})
    assert config["unroll"] == 101 and config["memory"] == "gru"
    monkeypatch.undo()
    small = {**config, "hidden": (4,), "epochs": 1, "minibatches": 1}
    assert ours.in_graph(agent, env, seeds, 404, 4, small, {"pulls": 100})() == 404


def test_every_case_is_of_work_that_there_is() -> None:
    found = list(benchmark_cases.cases(benchmark_cases.PARTS, 1e-4))
    assert {case.part for case in found} == set(benchmark_cases.PARTS)
    for case in found:
        assert {work.function for work in case.ours.values()} <= ours.WORK.keys()
        assert {work.function for work in case.peers.values()} <= peers.WORK.keys()
        assert case.goals.keys() <= {*case.peers, case.against}
        assert not case.against or case.against in case.ours


@pytest.mark.parametrize(("kind", "operations"), [("uniform", "add+sample"), ("prioritised", "add+sample+update")])
def test_calls_of_replays_are_counted(kind: str, operations: str) -> None:
    sizes = {"capacity": 64, "lanes": 4, "batch": 4, "seeds": 2, "calls": 3}
    run = ours.WORK["replay_of"](kind=kind, operations=operations, scan=True, **sizes)
    assert run() == 3


def test_learning_steps_are_counted() -> None:
    config = {**settings.PLAIN, "hidden": (8, 8), "batch_size": 4, "buffer_size": 200}
    config |= settings.Q_PARTS["prioritised"]
    run = ours.WORK["learning"](config=config, draws=False, num_envs=4, calls=3)
    assert run() == 3
    assert run() == 3


def test_updates_from_recorded_transitions_are_counted_over_seeds_and_critic_steps() -> None:
    config = {**settings.FROM_DATA["td3_bc"], "hidden": (8,), "batch_size": 4}
    run = ours.WORK["offline_updates"](agent="td3_bc", config=config, seeds=2, transitions=2_000, calls=6)
    assert run() == 2 * 6


def test_loading_is_timed_and_its_bytes_are_counted() -> None:
    loading = ours.WORK["loading"]
    assert loading(transitions=2_000, held=False)() == 1
    held, asked = loading(transitions=2_000, held=True)()
    # A row has 17 + 6 numbers, its reward and discount and the byte of its kind.
    assert asked == 2 * 1_001 * (4 * 25 + 1)
    # The device also has the row's episode and what is paid after it, where transitions begin, and where episodes do.
    assert held == asked + 4 * (2 * 2 * 1_001 + 2 * 1_000 + 3)
    seconds, size = benchmark_cases.cases(("loading",), 1.0)
    assert (seconds.limit, size.limit) == (5.0, 1.2)
    row = benchmark.measure(size, {"ours": Told(held, asked)}, Config(repeats=1))[0]
    assert row.ours == held / asked and row.unit == "x" and row.met is True


def test_updates_and_returns_are_counted() -> None:
    assert ours.WORK["critics"](number=2, calls=2)() == 2
    for name in ("vtrace", "gae"):
        for whose in ("agents.losses", "rlax"):
            assert ours.WORK["returns"](name=name, whose=whose, calls=2, steps=6, lanes=3)() == 2


def test_own_work_is_compared_with_other_own_work() -> None:
    sides = {"ours": Clock(plain=2.0, noisy=4.0)}
    own = {"DQN": Work("plain", {}), "noisy": Work("noisy", {})}
    case = Case("learning", "step", 1, "µs", own, rate=False, scale=1e6, against="DQN", goals={"DQN": 0.4})
    plain, noisy = benchmark.measure(case, sides, Config(repeats=1))
    assert (plain.ours, plain.theirs, plain.ratio) == (2e5, None, None)
    assert (noisy.ours, noisy.theirs, noisy.ratio, noisy.peer, noisy.met) == (4e5, 2e5, 0.5, "DQN", True)


def test_contenders_take_turns_and_the_median_counts() -> None:
    sides = {"beside": Clock(a=2.0), "peers": Clock(b=5.0)}
    case = Case(
        "dqn", "training", 2, "env steps/s", {"task": Work("a", {})}, {"rejax": Work("b", {})}, goals={"rejax": 3}
    )
    (row,) = benchmark.measure(case, sides, Config(repeats=3))
    assert (row.ours, row.theirs, row.ratio) == (5.0, 2.0, 2.5)
    assert row.met is False and row.goal == "at least 3 x"
    assert sides["beside"].asked == [("a", True)] + [("a", False)] * 3
    assert sides["peers"].asked == [("b", True)] + [("b", False)] * 3
    (row,) = benchmark.measure(
        case._replace(seeds=1), {"alone": Clock(a=1.0), "peers": Clock(b=5.0)}, Config(repeats=1)
    )
    assert row.ours == 10.0


def test_times_count_the_other_way_round() -> None:
    sides = {"ours": Clock(a=2.0), "peers": Clock(b=5.0)}
    case = Case("replay", "add", 1, "µs", {"ours": Work("a", {})}, {"flashbax": Work("b", {})}, rate=False, scale=1e6)
    (row,) = benchmark.measure(case, sides, Config(repeats=1))
    assert row.ours == pytest.approx(2e5) and row.ratio == pytest.approx(2.5)


def test_a_peer_that_is_not_installed_is_told(tmp_path: Path) -> None:
    sides = {"alone": Clock(a=2.0), "peers": Clock()}
    case = Case("dqn", "training", 1, "env steps/s", {"task": Work("a", {})}, {"rejax": Work("b", {})})
    (row,) = benchmark.measure(case, sides, Config(repeats=1))
    assert row.ours > 0 and row.theirs is None and benchmark.INSTALL in row.peer
    benchmark_page.save([row], str(tmp_path), 5, 1.0, "here")
    page = benchmark_page.write(str(tmp_path))
    assert "not installed" in page.read_text() and not (tmp_path / "benchmark.png").exists()


def test_ratios_are_drawn(tmp_path: Path) -> None:
    row = benchmark_page.Row("dqn", "DQN", 1, "env steps/s", 6.0, "rejax", 2.0, 3.0, "at least 2 x", True, {})
    slow = row._replace(name="PPO", ratio=0.5, met=False)
    benchmark_page.save([row, slow], str(tmp_path), 5, 1.0, "here")
    page = benchmark_page.write(str(tmp_path))
    assert "missed" in page.read_text() and page.with_suffix(".png").stat().st_size > 1000


def test_a_part_measured_again_leaves_the_others(tmp_path: Path) -> None:
    row = benchmark_page.Row("dqn", "DQN", 1, "env steps/s", 6.0, "rejax", 2.0, 3.0, "at least 2 x", True, {})
    other = row._replace(part="returns", name="GAE", unit="µs", peer="rlax")
    benchmark_page.save([other, row], str(tmp_path), 5, 1.0, "on Monday")
    benchmark_page.save([row._replace(ours=7.0)], str(tmp_path), 3, 0.5, "on Tuesday")
    first, second = benchmark_page.load(str(tmp_path)).items()
    assert first == ("dqn", benchmark_page.Measured("on Tuesday", 3, 0.5, [row._replace(ours=7.0)]))
    assert second == ("returns", benchmark_page.Measured("on Monday", 5, 1.0, [other]))
    page = benchmark_page.write(str(tmp_path)).read_text()
    assert "`--only dqn`, `--scale 0.5`, median of 3: on Tuesday" in page and "median of 5: on Monday" in page


def test_every_part_has_a_heading() -> None:
    assert set(benchmark_page.TITLES) == set(benchmark_cases.PARTS)


def test_a_worker_answers_for_what_it_cannot_do() -> None:
    def missing() -> worker.Run:
        raise ModuleNotFoundError("No module named 'nowhere'", name="nowhere.deep")

    with pytest.raises(ModuleNotFoundError):
        worker.answered({"work": "missing", "arguments": {}, "prepare": True}, {"missing": missing}, {})
    seconds, units = worker.answered({"work": "five", "arguments": {}}, {"five": lambda: lambda: 5.0}, {})
    assert seconds >= 0 and units == 5


@pytest.mark.parametrize("words", [["--repeats", "0"], ["--scale", "0"]])
def test_bad_flags_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        benchmark.main(words)
    assert stop.value.code == 2 and words[0] in capsys.readouterr().err


def test_the_peers_worker_starts_and_answers() -> None:
    sides = benchmark.workers(Config(only=("env",), peers=("gymnax",)))
    try:
        assert sides["peers"].ask(versions=True)["value"]["jax"]
        assert sides["peers"].ask(work="none", arguments={}) == {"error": "KeyError: 'none'"}
    finally:
        for side in sides.values():
            side.close()


def test_own_processes_run_this_checkout() -> None:
    assert Path(__file__).parents[2] == ours.ROOT
    assert ours.command(["-m", "experiments.list", "--help"])() == 1


def test_work_may_measure_itself() -> None:
    request = {"work": "own", "arguments": {}}
    assert worker.answered(request, {"own": lambda: lambda: (3.0, 2.0)}, {}) == [3.0, 2.0]
    taken, units = worker.answered(request, {"own": lambda: lambda: 2.0}, {})
    assert taken < 1 and units == 2


@pytest.mark.parametrize(("name", "least"), [("Slow", 1e-3), ("Frames", 0.0)])
def test_simulators_of_the_benchmark_are_tasks(name: str, least: float) -> None:
    pool = envs.make(f"gymnasium/experiments.benchmarks.simulators:{name}-v0").pool(2, 0)
    pool.reset()
    began = time.perf_counter()
    for _ in range(3):
        pool.send(np.array([0, 1]))
        timestep = pool.recv()
    assert time.perf_counter() - began >= 3 * 2 * least
    assert timestep.reward.tolist() == [0, 1]
    pool.close()


def test_runs_with_actors_are_trained_in_a_process_of_their_own() -> None:
    words = [*CATCH, "--num-envs", "4", "--agent.hidden", "8", "--agent.unroll", "8", "--eval-episodes", "8"]
    words += ["--actors", "2", "--engine", "inline", "--steps", "6400", "--log-every", "64"]
    run = apart.Apart(["impala", *words])
    told = run.ask()
    assert told["steps"] == 64 and told["seconds"] > 0 and told["samples_per_insert"] == 1
    process = run._process
    del run
    assert process.returncode == 0
