"""What each command refuses: flags that do not go together, and tasks that are not for it, before anything is built."""

import dataclasses
from importlib import import_module

import jax
import pytest

from experiments.run import flags, prepare
from tests.experiments.running import call

DQN = ("dqn", "c51", "qr_dqn", "iqn", "rainbow")
REPLAYED = (*DQN, "r2d2", "drqn", "mqn", "reactor", "ddpg", "td3", "sac", "naf", "her", "hiro", "hac")
COMMANDS = (*REPLAYED, "pqn")
FREE = {"her": ["--env", "bellmax/bit-flip"], "hiro": ["--preset", "point"]}
"""Flags for a task that is no simulator's, where the default one is."""
PENDULUM = ["--env", "bellmax/pendulum"]
CATCH = ["--env", "bellmax/catch"]

SMALL = ["--num-envs", "2", "--agent.buffer-size", "10", "--agent.batch-size", "10"]
BUFFER = (
    "--agent.buffer-size 10: holds 5 steps of each of 2 environments (per device); a sample needs 6, hence at least 12"
)
SHARED = ["--num-envs", "4", "--eval-episodes", "4", "--devices", "2"]
"""Two devices."""
DISCRETE = "needs discrete actions, but the task's are "
BOUNDED = "needs a vector of bounded actions, but the task's are "
LAYER = "--agent.hidden (empty): --agent.memory gru has the last layer's size, so give one or more"
DEVICES = ": must be a positive multiple of --devices 2"
CASES = [
    *((name, [*SHARED, "--agent.buffer-size", "999"], f"--agent.buffer-size 999{DEVICES}") for name in REPLAYED),
    *((name, [*SHARED, "--agent.batch-size", "33"], f"--agent.batch-size 33{DEVICES}") for name in REPLAYED),
    *(
        (name, words, told)
        for name in DQN
        for words, told in (
            (PENDULUM, f"--env bellmax/pendulum: dqn {DISCRETE}"),
            (["--agent.hold", "9", "--agent.parameter-noise"], "--agent.hold 9: --agent.parameter-noise takes no "),
            (["--agent.v-min", "2", "--agent.v-max", "2"], "--agent.v-min 2.0: must be below --agent.v-max 2.0"),
            (["--agent.buffer-size", "100"], "--agent.batch-size 128: larger than --agent.buffer-size 100"),
            ([*CATCH, "--agent.frames", "4"], "--agent.frames 4: needs images whose channels are 4 frames, but "),
            (["--agent.dueling", "--agent.hidden"], "--agent.hidden (empty): --agent.dueling and the implicit object"),
            (["--agent.objective", "implicit", "--agent.hidden"], "--agent.hidden (empty): --agent.dueling and the "),
            ([*CATCH, *SMALL, "--agent.n-step", "5", "--agent.frames", "1"], BUFFER),
            ([*CATCH, *SMALL, "--agent.n-step", "1", "--agent.frames", "5"], BUFFER),
        )
    ),
    ("pqn", PENDULUM, f"--env bellmax/pendulum: pqn {DISCRETE}"),
    ("pqn", ["--agent.minibatches", "3"], "--agent.minibatches 3: must divide unroll x --num-envs per device, 2048"),
    (
        "pqn",
        ["--agent.memory", "gru", "--num-envs", "6"],
        "--agent.minibatches 16: must divide --num-envs, for an agent with memory, per device, 6",
    ),
    ("pqn", ["--agent.memory", "gru", "--agent.hidden"], LAYER),
    ("r2d2", PENDULUM, f"--env bellmax/pendulum: this agent {DISCRETE}"),
    ("r2d2", [*SMALL, "--agent.burn-in", "1", "--agent.length", "2", "--agent.stride", "3"], BUFFER),
    *(
        (name, [*CATCH, "--agent.frames", "3"], "--agent.frames 3: needs images whose channels are 3 frames, but ")
        for name in ("drqn", "mqn", "r2d2")
    ),
    *(
        (name, words, told)
        for name in ("drqn", "mqn")
        for words, told in (
            (PENDULUM, f"--env bellmax/pendulum: this agent {DISCRETE}"),
            ([*SMALL, "--agent.length", "5", "--agent.frames", "1"], BUFFER),
            ([*SMALL, "--agent.length", "4", "--agent.frames", "2"], BUFFER),
            (["--agent.alpha", "0.5", "--agent.sampling", "random"], "--agent.alpha 0.5: must be 0, or positive with "),
        )
    ),
    ("mqn", ["--agent.memory", "gru", "--agent.timed"], "--agent.timed: --agent.memory gru has no reads; mqn, rmqn "),
    ("mqn", ["--agent.memory", "none", "--agent.blind"], "--agent.blind: --agent.memory none has no reads; mqn, rmqn "),
    ("reactor", PENDULUM, f"--env bellmax/pendulum: reactor {DISCRETE}"),
    ("reactor", ["--agent.memory", "gru", "--agent.hidden"], LAYER),
    ("reactor", [*SMALL, "--agent.length", "5"], BUFFER),
    ("reactor", ["--agent.v-min", "1"], "--agent.v-min 1.0: must be below --agent.v-max 1.0"),
    *((name, CATCH, f"--env bellmax/catch: ddpg {BOUNDED}") for name in ("ddpg", "td3")),
    ("naf", CATCH, f"--env bellmax/catch: naf {BOUNDED}"),
    *((name, [*SMALL, "--agent.n-step", "5"], BUFFER) for name in ("ddpg", "td3", "sac", "naf", "her")),
    *(
        (name, ["--agent.target-low", "2", "--agent.target-high", "1"], "--agent.target-low 2.0: must be below --agent")
        for name in ("ddpg", "td3")
    ),
    ("sac", ["--agent.temperature", "0"], "--agent.temperature 0.0: must be above 0, or --agent.no-automatic"),
    ("her", CATCH, "--env bellmax/catch: her needs a task with goals whose reward can be computed anew, such as "),
    ("her", ["--env", "bellmax/point-maze", "--agent.learner", "dqn"], f"--env bellmax/point-maze: dqn {DISCRETE}"),
    ("her", ["--agent.learner", "ddpg"], f"--env bellmax/bit-flip: ddpg {BOUNDED}"),
    ("her", ["--agent.rank", "2", "--agent.hidden"], "--agent.hidden (empty): the two streams of --agent.rank 2 need "),
    ("hiro", CATCH, f"--env bellmax/catch: hiro {BOUNDED}"),
    ("hiro", [*PENDULUM, "--agent.goal-range", "1"], "--agent.goal-range has 1 entries, and as many first entries of "),
    ("hiro", ["--agent.goal-range"], "--agent.goal-range has 0 entries, and as many first entries of a vector "),
    ("hiro", ["--agent.goal-range", "1", "-1"], "--agent.goal-range 1.0 -1.0: must be positive"),
    ("hiro", [*PENDULUM, "--agent.embedding", "2"], "--agent.embedding is of a vector `observation`; --env "),
    ("hiro", ["--agent.hidden-entries", "99"], "--agent.hidden-entries 99: must be 0 to "),
    ("hiro", ["--agent.updates", "0", "--agent.period", "7"], "--agent.period 7: an update takes period x delay = 14 "),
    ("hiro", [*SMALL, "--agent.period", "5"], BUFFER),
    ("hac", CATCH, f"--env bellmax/catch: hac {BOUNDED}"),
    (
        "hac",
        PENDULUM,
        "--env bellmax/pendulum: hac needs a task with goals and a time limit, such as bellmax/point-maz",
    ),
    ("hac", ["--agent.subgoal-entries", "3"], "--agent.subgoal-entries 3: must be 1 to the entries of a vector, which"),
    ("hac", ["--agent.subgoal-low", "1"], "--agent.subgoal-low 1.0: must be 2 numbers"),
    ("hac", ["--agent.subgoal-high", "1", "2", "3"], "--agent.subgoal-high 1.0 2.0 3.0: must be 2 numbers"),
    ("hac", ["--agent.subgoal-low", "99", "0"], "--agent.subgoal-low [99.0, 0.0], --agent.subgoal-high ["),
    ("hac", [*SMALL, "--env-options", "time_limit=5"], BUFFER),
]


@pytest.mark.parametrize(("command", "words", "told"), CASES)
def test_what_does_not_go_together_is_refused_in_one_line(command, words, told, tmp_path):
    words = [*([] if "--env" in words else FREE.get(command, [])), *words]
    outcome = call(command, "--out", tmp_path / "run", *words)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith(f"error: {told}") and outcome.err.count("\n") == 1, outcome.err
    assert not (tmp_path / "run").exists()
    # It is `check` that refuses it, whatever is built.
    experiment = import_module(f"experiments.{command}").experiment
    config = experiment.parse(words)
    flags.check(config)
    with pytest.raises(ValueError) as refused:
        experiment.check(config.agent, prepare.environment(config).spec, prepare.size_of(config))
    assert f"error: {refused.value}\n" == outcome.err


VARIANTS = [
    *((name, []) for name in COMMANDS),
    *((name, FREE[name]) for name in FREE),
    *((name, ["--agent.hidden"]) for name in COMMANDS if name not in ("iqn", "rainbow")),
    ("dqn", ["--agent.v-min", "-3", "--agent.v-max", "-2", "--agent.hold", "5", "--agent.frames", "1"]),
    ("pqn", ["--agent.memory", "gru"]),
    ("reactor", ["--agent.memory", "lstm", "--agent.no-distributional", "--agent.v-min", "2"]),
    ("drqn", ["--agent.memory", "none", "--agent.alpha", "0.5", "--agent.sampling", "sequential"]),
    ("mqn", ["--agent.memory", "gru"]),
    ("mqn", ["--agent.timed", "--agent.blind"]),
    ("sac", CATCH),
    ("sac", ["--agent.temperature", "0", "--agent.no-automatic"]),
    ("her", ["--env", "bellmax/point-maze", "--agent.learner", "sac"]),
    ("her", ["--env", "bellmax/bit-flip", "--agent.rank", "3"]),
    ("hiro", ["--preset", "point", "--agent.embedding", "2", "--agent.goal-range"]),
    ("hac", ["--agent.subgoal-low", "-3", "-3", "--agent.subgoal-high", "3", "3"]),
]


@pytest.mark.parametrize(("command", "words"), VARIANTS)
def test_what_is_accepted_is_built(command, words):
    experiment = import_module(f"experiments.{command}").experiment
    config = experiment.parse(words)
    flags.check(config)
    spec, size = prepare.environment(config).spec, prepare.size_of(config)
    assert experiment.check(config.agent, spec, size) is None
    built = experiment.make(config.agent, spec, size)
    assert built.schedule.unroll >= 1 and built.replay.minimum >= 1


def test_a_swept_number_is_checked_at_every_point(tmp_path):
    outcome = call("sac", "--sweep", "agent.temperature=0.5,0", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err == "error: --agent.temperature 0.0: must be above 0, or --agent.no-automatic\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_real_numbers_may_be_traced_while_building(command):
    """Those of a sweep are, which `check` alone may look at."""
    experiment = import_module(f"experiments.{command}").experiment
    config = experiment.parse(FREE.get(command, []))
    spec, size = prepare.environment(config).spec, prepare.size_of(config)
    numbers = {name: value for name, value in flags.flat(config.agent).items() if isinstance(value, float)}

    def build(values):
        experiment.make(dataclasses.replace(config.agent, **values), spec, size)

    jax.eval_shape(build, numbers)
    assert "learning_rate" in numbers
