"""The boxes with a lid: their rules against plain models, and the auxiliary rewards against the state."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.tasks.lid_box import GRIP, MOVES, PRESS, continuous_lid_box, lid_box
from tests.envs.contract import check_environment, play

MAKERS = {"grid": lambda: lid_box(3, time_limit=40), "continuous": lambda: continuous_lid_box(time_limit=40)}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name):
    env = MAKERS[name]()
    check_environment(env)
    frame = env.render(env.reset(keys.key(0))[0])
    assert frame.dtype == jnp.uint8 and frame.ndim == 3


def decoded(seen, size):
    """Hand, object, lid, held of an observation of the grid."""
    hand, thing = ((seen[i : i + size].argmax(), seen[i + size : i + 2 * size].argmax()) for i in (0, 2 * size))
    return [*map(int, hand)], [*map(int, thing)], bool(seen[-2]), bool(seen[-1])


def test_the_grid_against_a_plain_model():
    size, env = 3, lid_box(3, time_limit=60)
    played = play(env, steps=400, lanes=6)
    kind, reward, discount, observation = played.timestep
    told, wins = np.asarray(env.spec.auxiliaries.rewards(observation)), 0
    for lane in range(6):
        hand, thing, lid, held = decoded(observation[0, lane], size)
        for t in range(400):
            if kind[t + 1, lane] == 0:
                hand, thing, lid, held = decoded(observation[t + 1, lane], size)
                assert hand != thing and not lid and not held
                continue
            action, paid = int(played.action[t, lane]), 0.0
            if action < 4:
                hand = [int(np.clip(a + b, 0, size - 1)) for a, b in zip(hand, MOVES[action], strict=True)]
                thing = hand if held else thing
            elif action == PRESS and hand == [0, 0]:
                lid = not lid
            elif action == GRIP and hand == thing:
                paid = float(held and lid and hand == [size - 1, size - 1])
                held = not held
            assert decoded(observation[t + 1, lane], size) == (hand, thing, lid, held)
            assert reward[t + 1, lane] == paid and (discount[t + 1, lane] == 0) == bool(paid)
            wins += paid
            at_box = hand == [size - 1, size - 1]
            expected = [hand == thing, held, lid, held and at_box, held and lid]
            np.testing.assert_array_equal(told[t + 1, lane], np.array(expected, float))
    assert wins


def test_the_continuous_task_is_solved_by_going_from_one_place_to_the_next():
    env = continuous_lid_box()

    def policy(timestep):
        seen = timestep.observation
        place, lid, held = seen[:, :2], seen[:, 6:7] > 0.5, seen[:, 7:] > 0.5
        switch, box = jnp.array([[-0.8, 0.8]]), jnp.array([[0.8, -0.8]])
        aim = jnp.where(lid, jnp.where(held, box, seen[:, 2:4]), switch)
        there = jnp.sqrt(jnp.sum(jnp.square(aim - place), 1, keepdims=True)) < 0.1
        grip = jnp.where(held, ~there, there)
        return jnp.concatenate([jnp.clip((aim - place) / 0.1, -1, 1), 2.0 * grip - 1.0], 1)

    played = play(env, steps=150, lanes=4, policy=policy)
    assert (played.timestep.reward.sum(0) >= 1).all()
    told = np.asarray(jax.vmap(env.spec.auxiliaries.rewards)(played.timestep.observation))
    assert (told.max((0, 1)) == 1).all() and (told.mean((0, 1)) < 0.9).all()


@pytest.mark.parametrize("make", [lambda: lid_box(1), lambda: lid_box(time_limit=0), lambda: continuous_lid_box(0)])
def test_refusals(make):
    with pytest.raises(ValueError, match="must be at least"):
        make()
