"""Convolutions that are chosen by the size of a task's images."""

from typing import Any

import jax
import numpy as np
import pytest

from envs import keys
from envs.base import Box, Discrete, Spec, blank
from experiments import a2c, acer, ddpg, dqn, drqn, ppo, pqn, r2d2, reactor, sac
from experiments.run import flags, plans

SIZE = plans.Size(2, 1, 10_000)
WITH_CONVOLUTIONS = (a2c, ppo, dqn, ddpg, sac, acer, pqn, r2d2, drqn, reactor)

SIDES = [(40, "nature"), (36, "nature"), (35, "small"), (5, "small"), (4, "none"), (2, "none")]


@pytest.mark.parametrize("module", WITH_CONVOLUTIONS, ids=lambda module: module.__name__[12:])
@pytest.mark.parametrize(("side", "same"), SIDES)
def test_convolutions_are_chosen_by_the_size_of_images(module: Any, side: int, same: str) -> None:
    image = Box((side, 41, 3), 0, 255, np.uint8)
    action = Box((2,), -1.0, 1.0) if module in (ddpg, sac) else Discrete(2)
    spec = Spec("stamp", {"image": image, "number": Discrete(3)}, action)
    assert module.Config().cnn == "auto"

    def first(cnn: str) -> Any:
        config = module.Config(cnn=cnn)
        module.check(config, spec, SIZE)
        agent = module.make(config, spec, SIZE).agent
        return jax.eval_shape(agent.init, keys.key(0), blank(spec, SIZE.num_envs))

    described = [str(jax.tree_util.tree_flatten_with_path(first(cnn))) for cnn in ("auto", same)]
    assert described[0] == described[1]


def test_the_convolutions_that_are_chosen_begin_with_the_same_numbers() -> None:
    spec = Spec("stamp", Box((36, 36, 1), 0, 255, np.uint8), Discrete(2))
    both = [dqn.make(dqn.Config(cnn=cnn, hidden=(4,)), spec, SIZE).agent for cnn in ("auto", "nature")]
    drawn = [agent.init(keys.key(3), blank(spec, 2)) for agent in both]
    assert jax.tree.all(jax.tree.map(lambda x, y: (x == y).all(), *drawn))


def test_a_stored_run_keeps_the_convolutions_that_it_had() -> None:
    for cnn in ("nature", "impala", "small"):
        assert flags.rebuild(dqn.Flags, {"agent": {"cnn": cnn}}).agent.cnn == cnn
    spec = Spec("tiny", Box((10, 10, 4), 0, 1), Discrete(2))
    with pytest.raises(ValueError, match=r"^--agent\.cnn nature: needs images with sides of 36"):
        dqn.check(flags.rebuild(dqn.Flags, {"agent": {"cnn": "nature"}}).agent, spec, SIZE)
