"""Speed, side by side with other libraries: `python -m experiments.benchmark --help`.

Every contender runs in a worker process of its own kind, bellmax with the devices and threads that its commands have
for as many runs, the peers with JAX's and torch's defaults. They are prepared and compiled first, then measured in
turns, and the median of the rounds counts. A peer that is not installed is left out.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from experiments import run
from experiments.benchmarks import worker
from experiments.benchmarks.apart import environment
from experiments.benchmarks.cases import PARTS, PEERS, Case, Part, Peer, cases
from experiments.benchmarks.ours import WORK
from experiments.benchmarks.page import Row, machine, save, short, table, write

INSTALL = 'pip install -e ".[bench]"'


@dataclass(frozen=True)
class Config:
    """Measures bellmax's speed against rejax, Jumanji, flashbax, Stable-Baselines3, SBX, ORLax and
    RLlib, records the parts measured, and writes a page and a plot of all that is recorded."""

    only: tuple[Part, ...] = PARTS
    """Parts of the benchmark to measure."""
    peers: tuple[Peer, ...] = PEERS
    """Libraries to compare with; none for bellmax alone. They come with the extra `bench`, but for
    ORLax, whose pins exclude the others'."""
    repeats: run.Count = 5
    """Number of rounds, of which the median counts."""
    scale: run.Positive = 1.0
    """Length of the runs: 1 takes about twenty minutes on two cores."""
    out: str = "docs/results"
    """Folder for benchmark.md, benchmark.png and the records, speed/PART.json."""
    peer_python: str = ""
    """Interpreter that has the peers; by default this one."""


def serve() -> None:
    """The worker of bellmax's side."""
    run.use_cores()
    worker.serve(WORK)


class Worker:
    """A process that prepares work and times it; another takes its place where it dies."""

    def __init__(self, python: str, code: str, told: Mapping[str, str] = MappingProxyType({})):
        """Starts `python -c code`, told of devices and threads nothing but what is `told` in its environment."""
        self.environment = environment() | {"JAX_ENABLE_COMPILATION_CACHE": "false"} | dict(told)
        self.arguments = [python, "-W", "ignore", "-c", code]
        self.process = self.start()

    def start(self) -> subprocess.Popen:
        """A new process."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.arguments, stdin=pipe, stdout=pipe, text=True, env=self.environment)

    def ask(self, **request: object) -> dict[str, Any]:
        """One request; `{"error": ...}` also if the process died."""
        assert self.process.stdin and self.process.stdout
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self.close()
        code, self.process = self.process.returncode, self.start()
        return {"error": f"the worker died with code {code}"}

    def close(self) -> None:
        """Ends the process."""
        self.process.communicate()


THREADS: Mapping[Part, tuple[str, str]] = {
    **dict.fromkeys(("dqn", "ppo", "sac", "trials"), ("alone", "beside")),
    "data": ("ours", "beside"),
}
"""Which worker of ours has the threads that a command has for one run and for several (`run.cores`); "ours" has a pool,
and the others have none, on one device and on one for each core."""


def workers(config: Config) -> dict[str, Worker]:
    """Both sides' processes; of ours one with a pool of threads, and those that `THREADS` asks for."""
    code = "from experiments import benchmark; benchmark.serve()"
    started = {"ours": Worker(sys.executable, code)}
    asked = {name for part in config.only for name in THREADS.get(part, ())}
    for name, devices in (("alone", 1), ("beside", os.cpu_count() or 1)):
        if name in asked:
            told = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}", "NPROC": "1"}
            started[name] = Worker(sys.executable, code, told)
    if config.peers:
        code = "from experiments.benchmarks import peers, worker; worker.serve(peers.WORK)"
        started["peers"] = Worker(config.peer_python or sys.executable, code)
    return started


def measure(case: Case, sides: Mapping[str, Worker], config: Config) -> list[Row]:
    """Prepares the contenders of a case, then times them in turns."""
    own = THREADS.get(case.part, ("ours", "ours"))[case.seeds > 1]
    contenders = [(label, sides[own], work) for label, work in case.ours.items()]
    contenders += [(peer, sides["peers"], work) for peer, work in case.peers.items() if peer in config.peers]
    seeds = f"{case.seeds} seed{'s' if case.seeds > 1 else ''}"
    print(f"{case.name}, {seeds}", flush=True)
    absent: dict[str, str] = {}
    samples: dict[str, list[float]] = {}
    for turn in range(config.repeats + 1):  # the first only prepares
        for label, side, work in contenders:
            if label in absent:
                continue
            began = time.monotonic()
            answer = side.ask(work=work.function, arguments=work.arguments, prepare=turn == 0)
            if turn == 0 and "value" in answer:
                print(f"  {label} prepared in {time.monotonic() - began:.1f} s", flush=True)
            if "value" not in answer:
                absent[label] = absence(label, answer)
                print(f"  {label}: {absent[label]}", flush=True)
            elif turn:
                taken, units = answer["value"]
                samples.setdefault(label, []).append(units / taken if case.rate else case.scale * taken / units)
        if turn and samples:
            now = ", ".join(f"{label} {short(values[-1])}" for label, values in samples.items())
            print(f"  [{turn}/{config.repeats}] {now} {case.unit}", flush=True)
    for side in sides.values():
        side.ask(forget=True)
    return [row for label in case.ours if label in samples for row in rows_of(case, label, samples, absent)]


def absence(label: str, answer: Mapping[str, str]) -> str:
    """Why there is no measurement."""
    if "missing" in answer:
        return f"not installed ({answer['missing']}): {INSTALL}"
    return f"failed: {answer['error']}"


def rows_of(case: Case, label: str, samples: Mapping[str, list[float]], absent: Mapping[str, str]) -> Iterator[Row]:
    """The table's lines for one of ours."""
    ours = statistics.median(samples[label])
    name = case.name if len(case.ours) == 1 and case.peers else f"{case.name}: {label}"
    limit = "" if case.limit is None else f"below {case.limit:g} {case.unit}"
    within = None if case.limit is None else ours < case.limit
    fixed = (case.part, name, case.seeds, case.unit, ours)
    others = [peer for peer in case.peers if peer in samples or peer in absent]
    others += [case.against] if case.against in samples and case.against != label else []
    for peer in others:
        if peer in absent:
            yield Row(*fixed, f"{peer} {absent[peer]}", None, None, limit, within, {label: samples[label]})
            continue
        theirs = statistics.median(samples[peer])
        ratio = ours / theirs if case.rate else theirs / ours
        goal, met = limit, within
        if peer in case.goals:
            goal, met = f"at least {case.goals[peer]:.3g} x", ratio >= case.goals[peer]
        yield Row(*fixed, peer, theirs, ratio, goal, met, {label: samples[label], peer: samples[peer]})
    if not others:
        yield Row(*fixed, "", None, None, limit, within, {label: samples[label]})


def benchmark(config: Config) -> list[Row]:
    """Measures and writes.

    Raises:
      ValueError: a flag is out of range, or nothing could be measured.
    """
    if config.repeats < 1:
        raise ValueError(f"--repeats {config.repeats}: must be at least 1")
    if not config.scale > 0:
        raise ValueError(f"--scale {config.scale}: must be positive")
    Path(config.out).mkdir(parents=True, exist_ok=True)
    before, began = os.getloadavg()[0], time.monotonic()
    rows: list[Row] = []
    sides = workers(config)
    try:
        installed: dict[str, str] = {}
        for side in sides.values():
            installed |= side.ask(versions=True).get("value", {})
        for case in cases(config.only, config.scale):
            rows += measure(case, sides, config)
    finally:
        for side in sides.values():
            side.close()
    if not rows:
        raise ValueError(f"--only {' '.join(config.only)}: nothing could be measured")
    save(rows, config.out, config.repeats, config.scale, machine(before, installed))
    page = write(config.out)
    print("\n".join(["", *table(rows), "", f"{len(rows)} rows in {time.monotonic() - began:.0f} s: {page}"]))
    return rows


def main(argv: list[str] | None = None) -> None:
    """The command. A bad flag ends it with one line on stderr and exit code 2."""
    import tyro

    arguments = sys.argv[1:] if argv is None else argv
    config = tyro.cli(Config, args=arguments, prog="python -m experiments.benchmark")
    try:
        benchmark(config)
    except ValueError as error:
        run.fail(error)


if __name__ == "__main__":
    main()
