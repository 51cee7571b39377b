"""Every experiment runs from its command with small flags, and leaves a summary; most of the time is compilation."""

import json

import numpy as np
import pytest

from experiments.list import systems
from tests.experiments.running import FLAGS, call

CATCH = ["--env", "bellmax/catch"]
CARTPOLE = ["--env", "bellmax/cartpole"]
SMALL = ["--agent.warmup", "200", "--agent.batch-size", "16", "--agent.buffer-size", "2000"]
WORDS = {
    **{name: [*CATCH, *SMALL] for name in ("c51", "qr_dqn", "iqn", "rainbow")},
    "drqn": SMALL,
    "r2d2": SMALL,
    "mqn": [*SMALL, "--agent.length", "10", "--env", "bellmax/memory-chain"],
    "pqn": [*CATCH, "--agent.minibatches", "4"],
    "reactor": [*CATCH, "--agent.length", "8", "--agent.warmup", "200", "--agent.buffer-size", "2000"],
    **dict.fromkeys(("vpg", "trpo", "impala", "acktr"), CATCH),
    "acer": [*CATCH, "--agent.buffer-size", "2000"],
    "q_prop": ["--agent.buffer-size", "2000"],
    "unreal": [],
    **dict.fromkeys(("ddpg", "td3", "sac", "naf"), SMALL),
    "cem": ["--agent.population", "8"],
    "cma_es": [],
    "her": ["--env", "bellmax/bit-flip", "--env-options", "bits=4"],
    "hiro": ["--env", "bellmax/point-maze", *SMALL],
    "hac": [],
    "merlin": ["--agent.rows", "10", "--agent.unroll", "10"],
    "rl_mem": ["--agent.unroll", "10"],
    "dyna": SMALL,
    "dyna_q": [],
}
ELSEWHERE = {*FLAGS, "a3c", "i2a", "planning"}
"""Commands whose own tests train them."""


@pytest.mark.slow
@pytest.mark.parametrize("experiment", sorted(systems().keys() - ELSEWHERE))
def test_runs_from_its_command(experiment, tmp_path):
    words = ["--num-envs", 4, "--seeds", 1, "--steps", 2000, "--eval-episodes", 2, "--quiet", "--out", tmp_path / "run"]
    outcome = call(experiment, *words, *WORDS.get(experiment, []))
    assert outcome.code == 0, outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary["env_steps"] >= 1000
    assert np.isfinite(summary["eval_returns"]).all()
    assert (tmp_path / "run" / "curve.png").exists()
