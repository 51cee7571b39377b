"""Two processes on one machine, joined into one data-parallel training."""

import os
import socket
import subprocess
import sys

import numpy as np

from tests.experiments import joined
from tests.experiments.running import ROOT


def start(index, port, out):
    """One process with one device."""
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1"}
    words = [sys.executable, "-m", "tests.experiments.joined", f"localhost:{port}", "2", str(index), str(out)]
    return subprocess.Popen(words, cwd=ROOT, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]


def test_two_processes_equal_one_with_two_devices(tmp_path):
    port, outs = free_port(), [tmp_path / f"{i}.npz" for i in range(3)]
    running = [start(i, port, outs[i]) for i in range(2)]
    try:
        joined.train(outs[2])  # here, on two of the devices
        told = [process.communicate(timeout=240)[0] for process in running]
    finally:
        for process in running:
            process.kill()
            process.communicate()
    assert [process.returncode for process in running] == [0, 0], "\n".join(told)
    first, second, whole = (dict(np.load(path)) for path in outs)
    assert first.keys() == second.keys() == whole.keys()
    assert len([name for name in whole if name.isdecimal()]) > 4
    for name in whole:
        np.testing.assert_array_equal(first[name], second[name], err_msg=name)
        np.testing.assert_allclose(first[name], whole[name], atol=1e-6, err_msg=name)
