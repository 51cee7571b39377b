"""Numeric flags of all commands refuse what means nothing: on the command line, in sweeps and in Python."""

import dataclasses
import math
from importlib import import_module

import pytest

from experiments.list import systems
from experiments.run import flags, ranges
from tests.experiments.running import call

COMMANDS = sorted(systems())
BAD = (-1, 0, math.nan, math.inf, 1e30)
# Flags that may have one of these values, and why.
NEGATIVE = {
    "v_min": "atoms lie on both sides of 0",
    "v_max": "returns may all be negative",
    "target_low": "values may be negative",
    "target_high": "values may be negative",
    "target_return": "returns may all be negative",
    "entropy": "the differential entropy of a narrow density is negative",
    "goal_range": "has a check of its own, which names the task's observation",
    "reward_shift": "rewards may be moved down, so that each step costs",
    "subgoal_low": "a bound of a box around 0",
    "subgoal_high": "a bound of a box around 0",
}
UNBOUNDED = {
    "bound": "importance weights are not truncated",
    "clip": "the surrogate is not clipped",
    "clip_rho": "importance ratios are not clipped",
    "clip_pg_rho": "importance ratios are not clipped",
    "trust": "there is no trust region",
    "max_grad_norm": "gradients are not clipped",
    "clip_observations": "observations are not clipped",
    "smoothing_limit": "the noise on target actions is not clipped",
}
POSITIVE = {
    "learning_rate", "policy_learning_rate", "critic_learning_rate", "q_learning_rate", "model_learning_rate",
    "temperature_learning_rate", "rollout_learning_rate", "max_grad_norm", "target_rate", "average_rate", "adam_eps",
    "optimiser_eps", "reward_scale", "radius", "clip", "munchausen_temperature", "parameter_noise_epsilon", "threshold",
    "seeds", "steps", "num_envs", "devices", "eval_episodes", "keep", "unroll", "updates", "batch_size", "buffer_size",
    "n_step", "epochs", "minibatches", "target_period", "length", "atoms", "quantiles", "frames", "hold", "delay",
    "critics", "hidden", "rows", "workers", "population", "levels", "horizon", "period", "depth",
    "actors", "publish_every", "patience",
}  # fmt: skip
ZERO = {
    ("hac", "agent.unroll"): "an episode",
    ("hiro", "agent.updates"): "the paper's number",
    ("cma_es", "agent.population"): "the number that goes with the dimension",
    ("world_models", "agent.population"): "the number that goes with the dimension",
    ("bcq", "agent.threshold"): "all actions are allowed",
    ("i2a", "eval_episodes"): "the number that goes with the steps",
    ("alphazero", "agent.n_step"): "all rewards until the end of the game",
    ("tdm", "agent.horizon"): "goals are pursued for a single step",
    ("muzero", "agent.depth"): "the model is not learned, an ablation",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_numeric_flag_has_a_range_that_refuses_what_means_nothing(command):
    config = import_module(f"experiments.{command}").Flags()
    flags.check(config)
    numbers = list(ranges.numbers(type(config)))
    typed = {name for name, value in flags.flat(config).items() if type(value) in (int, float)}
    assert {name for name, *_ in numbers} >= typed and len(typed) >= 15, typed
    for name, number, allowed in numbers:
        assert allowed is not None, f"{name} is declared as {number.__name__}, without a range"
        last = name.rpartition(".")[2]
        for value in BAD:
            refused = {
                -1: last not in NEGATIVE,
                0: last in POSITIVE and (command, name) not in ZERO,
                math.inf: last not in UNBOUNDED,
            }.get(value, True)
            told = wrong(config, name, value)
            if refused:
                assert told and told.startswith(f"--{name.replace('_', '-')} {value}: must be "), (name, value, told)
            elif value != 0:  # 0 is no value of every other flag
                assert told is None, (name, value, told)


def wrong(config, name, value):
    """What `flags.check` says of the config with another value."""
    owner = config.agent if name.startswith("agent.") else config
    field = name.rpartition(".")[2]
    changed = (value,) if isinstance(getattr(owner, field), tuple) else value
    owner = dataclasses.replace(owner, **{field: changed})
    try:
        flags.check(dataclasses.replace(config, agent=owner) if name.startswith("agent.") else owner)
    except ValueError as error:
        return str(error)
    return None


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent.learning-rate", "-1"], "--agent.learning-rate -1.0: must be above 0"),
        (["--agent.discount", "1.01"], "--agent.discount 1.01: must be at most 1"),
        (["--agent.entropy-cost", "nan"], "--agent.entropy-cost nan: must be at least 0"),
        (["--agent.hidden", "8", "0"], "--agent.hidden 8 0: must be at least 1"),
        (["--seeds", "3000000000"], "--seeds 3000000000: must be at most 2147483647"),
        (["--sweep", "agent.discount=0.9,2"], "agent.discount=2 must be at most 1"),
    ],
)
def test_the_command_line_says_flag_value_and_what_is_allowed(words, told, tmp_path):
    outcome = call("a2c", "--env", "bellmax/catch", *words, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    assert told in outcome.err
    assert not (tmp_path / "run").exists()
