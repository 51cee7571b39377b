"""What policy gradients, searches and planners refuse, and that they build of all else whatever is asked for."""

import dataclasses
from importlib import import_module
from typing import Any, get_type_hints

import jax
import numpy as np
import pytest

import envs
from envs import keys
from envs.base import Box, Discrete, Spec, blank
from experiments.parts import worlds
from experiments.run import flags, plans, prepare, ranges
from experiments.run.checkpoint import Checkpointer
from tests.experiments.running import call

ACCEPTED: list[tuple[str, str, dict[str, Any]]] = [
    ("a2c", "", {}),
    ("a2c", "", {"memory": "lstm"}),
    ("a2c", "bellmax/pendulum", {"normalise_rewards": True}),
    ("a3c", "", {}),
    ("acer", "", {}),
    ("acer", "", {"memory": "gru", "shared": True, "clip_rewards": True}),
    ("acktr", "", {}),
    ("impala", "", {}),
    ("ppo", "", {}),
    ("ppo", "", {"memory": "gru", "kl_cost": 1.0, "kl_target": 0.01}),
    ("trpo", "", {}),
    ("vpg", "", {}),
    ("vpg", "", {"psi": "q"}),
    ("vpg", "bellmax/pendulum", {"psi": "td"}),
    ("q_prop", "", {}),
    ("unreal", "", {}),
    ("unreal", "", {"memory": "lstm"}),
    ("cem", "", {}),
    ("cem", "bellmax/pendulum", {"hidden": (8,)}),
    ("cma_es", "", {}),
    ("cma_es", "bellmax/pendulum", {"population": 4}),
    ("dyna", "", {}),
    ("dyna_q", "", {}),
    ("i2a", "", {"world": "exact", "corrupt": 0.1}),
    ("i2a", "", {"world": "copy"}),
    ("i2a", "", {"world": "none"}),
    ("merlin", "", {}),
    ("merlin", "", {"policy_delay": 0.5}),
    ("planning", "", {}),
    ("planning", "", {"model": "learned", "planner": "mppi"}),
    ("planning", "bellmax/sokoban", {"planner": "mcts", "corrupt": 0.1}),
    ("rl_mem", "", {}),
    ("rl_mem", "", {"memory": "none"}),
    ("rl_mem", "", {"memory": "dnc", "blind": True}),
]
"""Command, task (by default its own) and flags of the agent."""


@pytest.mark.parametrize(("experiment", "env", "agent"), ACCEPTED)
def test_what_is_accepted_is_built(experiment, env, agent):
    """Also with all flags traced that a sweep can have."""
    declared = import_module(f"experiments.{experiment}").experiment
    config = declared.configured(agent=agent, **({"env": env} if env else {}))
    spec, size = prepare.environment(config).spec, prepare.size_of(config)
    assert declared.check(config.agent, spec, size) is None
    assert declared.make(config.agent, spec, size).schedule.unroll >= 1

    def build(swept):
        declared.make(dataclasses.replace(config.agent, **swept), spec, size)
        return swept

    kinds = get_type_hints(type(config.agent), include_extras=True)
    real = [
        f for f, kind in kinds.items() if ranges.declared(kind)[0] is float and getattr(config.agent, f) is not None
    ]
    jax.eval_shape(build, dict.fromkeys(real, 0.5))


REFUSED = [
    ("a2c", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("a2c", "--env bellmax/catch --agent.memory lstm --agent.hidden", "--agent.hidden (empty): --agent.memory lstm"),
    ("a3c", "--agent.memory gru --agent.hidden", "--agent.hidden (empty): --agent.memory gru"),
    ("a3c", "--devices 2", "--devices 2: with --actors 2 each seed is learned on one device"),
    ("a3c", "--agent.normalise-observations", "--actors 2 --send gradients: a3c cannot: it learns from its samples in"),
    ("acer", "--env bellmax/pendulum", "--env bellmax/pendulum: ACER needs discrete actions"),
    ("acer", "--env bellmax/catch --agent.memory lstm --agent.hidden", "--agent.hidden (empty): --agent.memory lstm"),
    ("acer", "--env bellmax/catch --agent.buffer-size 100", "--agent.buffer-size 100: holds 12 steps"),
    ("acer", "--env bellmax/catch --devices 2 --agent.buffer-size 4001", "4001: must be a positive multiple"),
    ("acer", "--env bellmax/catch --devices 2 --agent.replayed 5", "--agent.replayed 5: must be a positive multiple"),
    ("acktr", "--env bellmax/catch --agent.memory lstm", "--agent.memory lstm: ACKTR's factors"),
    ("acktr", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("impala", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("ppo", "--env bellmax/catch --agent.minibatches 7", "--agent.minibatches 7: must divide unroll x --num-envs"),
    ("ppo", "--env bellmax/catch --agent.memory gru --agent.minibatches 16", "--agent.minibatches 16: must divide"),
    ("ppo", "--env bellmax/catch --agent.kl-target 0.01", "--agent.kl-target 0.01: needs --agent.kl-cost"),
    ("ppo", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("trpo", "--env bellmax/catch --agent.minibatches 7", "--agent.minibatches 7: must divide"),
    ("trpo", "--env bellmax/catch --agent.shared", "--agent.shared: the critic's steps"),
    ("trpo", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("vpg", "--env bellmax/catch --agent.minibatches 7", "--agent.minibatches 7: must divide"),
    ("vpg", "--env bellmax/pendulum --agent.psi q", "--env bellmax/pendulum: psi q needs discrete actions"),
    ("vpg", "--env bellmax/pendulum --agent.psi advantage", "psi advantage needs discrete actions"),
    ("vpg", "--env bellmax/catch --agent.clip-rewards --agent.normalise-rewards", "one or the other"),
    ("q_prop", "--env bellmax/catch", "--env bellmax/catch: Q-Prop needs continuous actions"),
    ("q_prop", "--env bellmax/point-maze", "--env bellmax/point-maze: Q-Prop needs one array as observation"),
    ("q_prop", "--agent.memory lstm", "--agent.memory lstm: Q-Prop's networks are feed-forward"),
    ("q_prop", "--agent.normalise-observations", "not with a replay"),
    ("q_prop", "--agent.normalise-rewards", "not with a replay"),
    ("q_prop", "--agent.shared", "--agent.shared: the critic's steps"),
    ("q_prop", "--agent.minibatches 7", "--agent.minibatches 7: must divide"),
    ("q_prop", "--agent.buffer-size 100", "--agent.buffer-size 100: holds 12 steps"),
    ("q_prop", "--agent.replayed 5 --devices 2", "--agent.replayed 5: must be a positive multiple of --devices 2"),
    ("q_prop", "--agent.q-minibatches 7", "--agent.q-minibatches 7: must divide unroll x replayed, 2048"),
    ("unreal", "--agent.hidden", "--agent.hidden (): one or more positive sizes"),
    ("unreal", "--agent.no-shared", "--agent.no-shared: UNREAL's tasks"),
    ("unreal", "--env bellmax/pendulum", "--env bellmax/pendulum: UNREAL needs discrete actions"),
    ("unreal", "--env bellmax/catch", "--env bellmax/catch: UNREAL needs an image"),
    ("unreal", "--agent.cell 3", "--agent.cell 3: must divide both sides of the image, (16, 16)"),
    ("unreal", "--agent.buffer-size 100", "--agent.buffer-size 100: holds 6 steps"),
    ("unreal", "--agent.replayed 5 --devices 2", "--agent.replayed 5: must be a positive multiple of --devices 2"),
    ("cem", "--agent.best 60", "--agent.best 60: must be from 1 to --agent.population 50"),
    ("cma_es", "--agent.population 3", "--agent.population 3: must be at least 4, or 0"),
    ("dyna", "--env bellmax/pendulum", "--env bellmax/pendulum: DQN needs discrete actions"),
    ("dyna", "--env bellmax/catch", "--env bellmax/catch: the model needs vectors"),
    ("dyna", "--agent.buffer-size 1", "--agent.buffer-size 1: holds 1 steps"),
    ("dyna", "--devices 2 --num-envs 2 --agent.batch-size 5", "--agent.batch-size 5: must be a positive multiple"),
    ("dyna", "--devices 2 --num-envs 2 --agent.buffer-size 5001", "--agent.buffer-size 5001: must be a positive"),
    ("dyna_q", "--env bellmax/pendulum", "--env bellmax/pendulum: a table needs discrete actions"),
    ("dyna_q", "--env bellmax/cartpole", "--env bellmax/cartpole: a table needs numbers"),
    ("dyna_q", "--devices 2 --num-envs 2", "--devices 2: a table is learned on one"),
    ("i2a", "--stages --env bellmax/pendulum", "--env bellmax/pendulum: I2A needs discrete actions"),
    ("i2a", "--stages --env bellmax/catch", "--env bellmax/catch: I2A needs frames"),
    ("i2a", "--stages --agent.world exact --env bellmax/pixel-catch", "its rules are not known as a model"),
    ("i2a", "--agent.world exact --env bellmax/pixel-catch", "its rules are not known as a model"),
    ("i2a", "--stages --agent.world exact --env bellmax/minipacman --agent.corrupt 0.1", "--agent.corrupt 0.1: needs"),
    ("i2a", "--stages", "--agent.model (empty): --agent.world learned needs the folder of a model"),
    ("i2a", "--stages --agent.model nowhere", "--agent.model 'nowhere': holds no model"),
    (
        "i2a",
        "--stages --env bellmax/minipacman --agent.model nowhere --agent.corrupt 0.1",
        "--agent.corrupt 0.1: needs",
    ),
    ("i2a", "--env bellmax/minipacman --agent.corrupt 0.1", "--agent.corrupt 0.1: needs symbolic observations"),
    ("i2a", "--env bellmax/pixel-catch", "--env bellmax/pixel-catch: the frame model needs frames of a few kinds"),
    ("i2a", "--stages agent --agent.model nowhere", "--agent.model 'nowhere': holds no model"),
    ("i2a", "--stages baseline agent", "holds no model"),
    ("i2a", "--stages model", "--stages model: the model needs"),
    ("i2a", "--sweep agent.learning-rate=1e-3,1e-4", "--sweep agent.learning-rate=1e-3,1e-4: for one agent"),
    ("merlin", "--agent.lstm", "--agent.lstm (): one or more positive sizes"),
    ("merlin", "--agent.hidden", "--agent.hidden (): one or more positive sizes"),
    ("merlin", "--agent.policy-delay 1", "--agent.policy-delay 1.0: must be in [0, 1)"),
    ("merlin", "--sweep agent.policy-delay=0.5,1", "--agent.policy-delay 1.0: must be in [0, 1)"),
    ("merlin", "--env bellmax/pendulum", "--env bellmax/pendulum: merlin needs discrete actions"),
    ("planning", "--agent.elites 500", "--agent.elites 500: must be from 1 to --agent.population 200"),
    ("planning", "--agent.shuffle-arrivals", "--agent.shuffle-arrivals: for --agent.model learned only"),
    ("planning", "--env bellmax/cartpole --agent.planner mcts", "--env bellmax/cartpole: its rules are not known"),
    ("planning", "--agent.corrupt 0.3", "--agent.corrupt 0.3: needs symbolic observations"),
    ("planning", "--sweep agent.corrupt=0,0.3", "--agent.corrupt 0.3: needs symbolic observations"),
    ("planning", "--agent.planner mcts", "--agent.planner mcts: not for the actions of bellmax/cartpole-swingup"),
    ("planning", "--env bellmax/minipacman", "--agent.planner cem: not for the actions of bellmax/minipacman"),
    ("planning", "--agent.model learned --agent.corrupt 0.3", "--agent.corrupt 0.3: for --agent.model true only"),
    ("planning", "--agent.model learned --agent.particles 3", "--agent.particles 3: must be a multiple of"),
    ("planning", "--agent.model learned --env bellmax/catch", "--env bellmax/catch: the model needs vectors"),
    ("planning", "--agent.model learned --agent.buffer-size 1", "--agent.buffer-size 1: holds 1 steps"),
    (
        "planning",
        "--agent.model learned --devices 2 --num-envs 2 --eval-episodes 8 --agent.batch-size 5",
        "size 5: must",
    ),
    ("planning", "--agent.model learned --env bellmax/pendulum", "--agent.reward known: that of bellmax/pendulum is"),
    ("rl_mem", "--agent.lstm", "--agent.lstm (): one or more positive sizes"),
    ("rl_mem", "--agent.head", "--agent.head (): one or more positive sizes"),
    ("rl_mem", "--agent.memory lstm --agent.blind", "--agent.blind: --agent.memory lstm has nothing to withhold"),
    ("rl_mem", "--env bellmax/pendulum", "--env bellmax/pendulum: rl_mem needs discrete actions"),
]


@pytest.mark.parametrize(("experiment", "words", "message"), REFUSED)
def test_what_is_refused_is_one_line_and_leaves_nothing(experiment, words, message, tmp_path):
    outcome = call(experiment, *words.split(), "--out", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err.startswith("error: --") and outcome.err.count("\n") == 1 and message in outcome.err
    assert not (tmp_path / "run").exists()


def test_a_learned_model_is_of_the_task_and_its_size(tmp_path):
    i2a, spec, size = import_module("experiments.i2a"), envs.make("bellmax/sokoban").spec, plans.Size(4, 1, 10_000)
    shapes = jax.eval_shape(worlds.frame_learner(spec, 1e-3, poor=True).init, keys.key(0), blank(spec, 1))
    with Checkpointer(tmp_path / "model" / "checkpoints") as checkpoints:
        checkpoints.save(1, jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), {}, wait=True)
    fits = i2a.Config(model=str(tmp_path / "model"), poor=True, corrupt=0.1)
    i2a.check(fits, spec, size)
    assert i2a.make(fits, spec, size).schedule.unroll == 10
    outcome = call("i2a", "--stages", "--agent.model", tmp_path / "model", "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    told = f"error: --agent.model {str(tmp_path / 'model')!r}: not of this task and size (--agent.poor): "
    assert outcome.err.startswith(told)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("experiment", ["a2c", "acktr", "impala", "ppo", "trpo", "vpg", "q_prop"])
def test_actions_that_are_no_vector_are_refused(experiment):
    module = import_module(f"experiments.{experiment}")
    with pytest.raises(ValueError, match=r"--env x: .*allowed: discrete ones or a vector"):
        module.check(module.Config(), Spec("x", Box((3,)), Box((2, 2))), plans.Size(8, 1, 10_000))


@pytest.mark.parametrize("experiment", ["cem", "cma_es"])
def test_a_search_needs_bounds(experiment):
    module = import_module(f"experiments.{experiment}")
    for action in (Box((1,)), Box((2, 2), -1, 1)):
        with pytest.raises(ValueError, match="--env x: policy search needs a vector of bounded actions"):
            module.check(module.Config(), Spec("x", Box((3,)), action), plans.Size(4, 1, 10_000))
    module.check(module.Config(), Spec("x", Box((3,)), Discrete(2)), plans.Size(4, 1, 10_000))


def test_flags_are_checked_before_what_they_are_together():
    """So checks can take each number to be in its range."""
    config = import_module("experiments.q_prop").Flags
    agent = import_module("experiments.q_prop").Config
    for name in ("q_minibatches", "replayed", "minibatches", "iterations", "backtracks", "q_epochs"):
        with pytest.raises(ValueError, match=f"--agent.{name.replace('_', '-')} 0: must be at least 1"):
            flags.check(config(agent=agent(**{name: 0})))
