"""Runs `experiments.dqn` in forks of this process, one for each line of flags (JSON) on stdin; see `running.Forks`.

Prints the number of the fork when it has begun and its exit code when it has ended.
"""

import json
import os
import sys
import traceback
import warnings
from importlib import import_module

from experiments import dqn

EARLY = (
    "agents.dqn",
    "envs.tasks.catch",
    "experiments.run.train",
    "networks",
    "tensorstore",
    "replay",
    "tensorboardX",
)


def run(argv: list[str]) -> int:
    """DQN's exit code."""
    try:
        dqn.main(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    for name in EARLY:
        import_module(name)
    # JAX has been imported and has not started a thread.
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            os.dup2(2, 1)  # what DQN prints
            code = run(json.loads(line))
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
