"""Starts the learners of one run, here or on several machines: `python -m experiments.launch --help`.

Each is the same command with `--learners`, `--learner` and `--coordinator`, which can be typed as well: this is for
where nothing else starts processes, as Slurm and Kubernetes do. What learner 0 prints is shown, and where one of them
fails the others are ended and its words are shown.
"""

import contextlib
import ctypes
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, Any

from experiments import run

HERE = ("localhost", "127.0.0.1")
USAGE = "python -m experiments.launch [flags] -- COMMAND [flags of the command]"
GRACE = 60.0
"""Seconds for which learners may save what they have after Ctrl-C, and end after learner 0."""


@dataclass(frozen=True)
class Config:
    """Starts a learner on each host. What follows -- is a command without `python -m experiments.`, and its flags:

    python -m experiments.launch --hosts one two -- impala --actors 8 --num-envs 64
    """

    hosts: tuple[str, ...] = ("localhost", "localhost")
    """Machines of the learners, in their order, of which one may be named several times; `localhost` is this one. All
    others are reached by ssh, without a password, and have the same folder, which they run in."""
    port: run.Whole = 0
    """Where learners meet on the first host; 0 for one that is free here."""
    remote: str = "ssh"
    """What runs a command on another machine, with its flags, such as `ssh -p 2222`; given HOST COMMAND."""
    python: str = ""
    """Interpreter on other machines; by default the path of this one."""


def commands(config: Config, words: Sequence[str], port: int) -> list[list[str]]:
    """What starts each learner.

    Raises:
      ValueError: naming what is wrong with the words, or the flag.
    """
    if not words:
        raise ValueError(f"there is no command to start; write {USAGE}")
    for flag in ("--learners", "--learner", "--coordinator"):
        if run.flags.given(list(words), flag) or flag in words:
            raise ValueError(f"{flag}: is given by experiments.launch; leave it out")
    if len(config.hosts) < 2:
        raise ValueError(f"--hosts {' '.join(config.hosts)}: must be at least 2; one learner needs no launch")
    first = config.hosts[0]
    away = [host for host in config.hosts if host not in HERE]
    if first in HERE and away:
        raise ValueError(f"--hosts {' '.join(config.hosts)}: {away[0]} cannot find {first}; name the first host")
    found = []
    for i, host in enumerate(config.hosts):
        own = ["--learners", str(len(config.hosts)), "--learner", str(i), "--coordinator", f"{first}:{port}"]
        python = sys.executable if host in HERE else config.python or sys.executable
        command = [python, "-m", f"experiments.{words[0]}", *words[1:], *own]
        if host not in HERE:
            command = [*shlex.split(config.remote), host, attended(command)]
        found.append(command)
    return found


def attended(command: Sequence[str]) -> str:
    """A command for the shell of another machine, which is told to stop when the standard input ends.

    What runs it passes no signals on, and may be gone before the command.
    """
    watch = f"{{ read line; kill -TERM $learner; sleep {GRACE:g}; kill -KILL $learner; }} <&3 >/dev/null 2>&1 &"
    run = f"{shlex.join(command)} </dev/null 3<&- & learner=$!; {watch} watcher=$!"
    here = shlex.quote(str(Path.cwd()))
    return f"cd {here} && exec 3<&0 && {{ {run}; wait $learner; code=$?; kill $watcher; exit $code; }}"


def with_parent() -> None:
    """Before a learner begins: it is told to stop if this process is no more. Linux alone knows how."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def free_port() -> int:
    """One that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return probe.getsockname()[1]


def launch(config: Config, words: Sequence[str]) -> int:
    """Starts all learners and waits for them.

    Returns:
      The exit code of the first that failed, or 0.

    Raises:
      ValueError: as `commands`.
    """
    starts = commands(config, words, config.port or free_port())
    with contextlib.ExitStack() as stack:
        told: list[IO[bytes]] = [stack.enter_context(tempfile.TemporaryFile()) for _ in starts[1:]]
        learners: list[subprocess.Popen] = []
        stack.callback(end, learners)

        def tell(number: int, frame: FrameType | None) -> None:
            for each in learners:
                if each.stdin is None or each.stdin.closed:
                    each.send_signal(number)
                else:
                    each.stdin.close()

        for number in (signal.SIGINT, signal.SIGTERM):  # learners in sessions of their own hear of it here, and once
            stack.callback(signal.signal, number, signal.signal(number, tell))
        for i, command in enumerate(starts):
            where: Any = {} if i == 0 else {"stdout": told[i - 1], "stderr": subprocess.STDOUT}
            where["stdin"] = subprocess.DEVNULL if config.hosts[i] in HERE else subprocess.PIPE
            learners.append(subprocess.Popen(command, start_new_session=True, preexec_fn=with_parent, **where))
        failed = watch(learners)
        if failed is None:
            return 0
        if failed and learners[failed].returncode != 130:
            told[failed - 1].seek(0)
            words_of = told[failed - 1].read()[-4000:].decode(errors="replace")
            print(f"learner {failed} on {config.hosts[failed]}:\n{words_of}", file=sys.stderr)
        return abs(learners[failed].returncode)


def watch(learners: Sequence[subprocess.Popen]) -> int | None:
    """Waits until all have ended, or one has failed; which, if one has."""
    late: float | None = None
    while True:
        codes = [each.poll() for each in learners]
        failed = next((i for i, code in enumerate(codes) if code), None)
        if None not in codes:
            return failed
        if failed is not None and late is None:  # those that were interrupted too are about to end
            late = time.monotonic() + (GRACE if codes[failed] == 130 else 1.0)
        if codes[0] == 0 and late is None:
            late = time.monotonic() + GRACE
        if late is not None and time.monotonic() > late:
            return failed
        time.sleep(0.05)


def end(learners: Sequence[subprocess.Popen]) -> None:
    """Ends those that are left, with what they started."""
    for each in learners:
        if each.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGKILL)
        each.wait()


def main(argv: list[str] | None = None) -> None:
    """The command. What is refused ends it with one line on stderr and exit code 2."""
    import tyro

    given = sys.argv[1:] if argv is None else argv
    own, words = (given[: given.index("--")], given[given.index("--") + 1 :]) if "--" in given else (given, [])
    config = tyro.cli(Config, args=own, prog="python -m experiments.launch")
    try:
        run.check_ranges(config)
        if words and not (Path(__file__).parent / f"{words[0]}.py").exists():
            raise ValueError(f"{words[0]}: is no command; python -m experiments.list has them all")
        code = launch(config, words)
    except ValueError as error:
        run.fail(error)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
