"""Board games against plain Python, from both sides, and against an opponent who moves at random."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST
from envs.tasks import board
from envs.tasks.board import connect_four, tic_tac_toe
from tests.envs.contract import check_environment, play

GAMES = {"tic_tac_toe": (tic_tac_toe, (3, 3), 3), "connect_four": (connect_four, (6, 7), 4)}
names = pytest.mark.parametrize("name", GAMES)


def in_a_row(cells, side, length):
    rows, columns = cells.shape
    for i in range(rows):
        for j in range(columns):
            for down, right in ((0, 1), (1, 0), (1, 1), (1, -1)):
                line = [(i + k * down, j + k * right) for k in range(length)]
                if all(0 <= a < rows and 0 <= b < columns and cells[a, b] == side for a, b in line):
                    return True
    return False


def legal_policy(rules):
    """Legal moves that differ from lane to lane and with the number of discs, for `play`."""

    def policy(timestep):
        allowed = jax.vmap(rules.legal)(timestep.observation)
        discs, lanes = jnp.sum(timestep.observation, (1, 2, 3)), jnp.arange(allowed.shape[0])
        noise = jnp.sin((discs + 5.3 * lanes)[:, None] * 37.7 + 11.1 * jnp.arange(allowed.shape[1])[None])
        return jnp.argmax(jnp.where(allowed, noise, -2.0), -1).astype(jnp.int32)

    return policy


@names
@pytest.mark.parametrize("opponent", ["self", "random"])
def test_contract(name, opponent):
    check_environment(GAMES[name][0](opponent))


@names
def test_self_play_against_a_plain_model(name):
    make, shape, length = GAMES[name]
    env = make()
    played = play(env, 60, 32, policy=legal_policy(env.spec.rules))
    kind, reward, discount, seen = played.timestep
    wins = draws = 0
    for lane in range(32):
        cells, side = np.zeros(shape, int), 1
        for t in range(60):
            if kind[t, lane] == LAST:
                cells, side = np.zeros(shape, int), 1
                continue
            action = played.action[t, lane]
            if name == "connect_four":
                row, column = np.flatnonzero(cells[:, action] == 0)[-1], action
            else:
                row, column = divmod(action, 3)
            assert cells[row, column] == 0
            cells[row, column] = side
            won = in_a_row(cells, side, length)
            full = (cells != 0).all()
            assert reward[t + 1, lane] == won
            assert (kind[t + 1, lane] == LAST) == (won or full)
            assert discount[t + 1, lane] == (not (won or full))
            side = -side
            np.testing.assert_array_equal(seen[t + 1, lane], np.stack([cells == side, cells == -side], -1))
            wins, draws = wins + won, draws + (full and not won)
    assert wins and (draws or name == "connect_four")


@names
def test_what_is_not_allowed_loses_at_once(name):
    env = GAMES[name][0](loss=0.5)
    cells = jnp.zeros(GAMES[name][1], jnp.int8).at[:, 1].set(-1).at[0, 1].set(1)
    assert not env.spec.rules.legal(board.observe(cells))[1]
    after, reward, over = env.spec.rules.transition(None, cells, jnp.int32(1))
    assert (reward, over) == (-0.5, True)
    np.testing.assert_array_equal(board.restore(board.observe(after)), -cells)


def test_lines_are_as_many_as_the_games_have():
    assert board.lines((3, 3), 3).shape == (9, 8)
    assert board.lines((6, 7), 4).shape == (42, 69)
    assert (board.lines((6, 7), 4).sum(0) == 4).all()


@names
def test_the_opponent_answers_and_can_win(name):
    env = GAMES[name][0]("random")
    played = play(env, 300, 16, policy=legal_policy(env.spec.rules))
    kind, reward, _, seen = played.timestep
    discs = seen.sum((2, 3))
    own, other = discs[..., 0], discs[..., 1]
    begins = kind == FIRST
    assert 0.2 < (other[begins] == 1).mean() < 0.8 and (own[begins] == 0).all()
    assert {-1.0, 1.0} <= set(np.unique(reward[kind == LAST]))
    running = kind == 1
    assert ((other - own)[running] >= 0).all() and ((other - own)[running] <= 1).all()


@names
def test_games_are_lost_whatever_a_win_pays(name):
    """With wins that pay nothing the return is minus the share of games that are lost, as evaluations have it."""
    plain, worthless = (
        play(env, 300, 16, policy=legal_policy(env.spec.rules)).timestep
        for env in (GAMES[name][0]("random"), GAMES[name][0]("random", win=0.0))
    )
    assert (plain.reward == -1).sum() > 50
    np.testing.assert_array_equal(worthless.reward, np.minimum(plain.reward, 0.0))


@pytest.mark.parametrize(
    ("options", "told"), [({"opponent": "minimax"}, "one of self, random, got 'minimax'"), ({"win": -1.0}, "win")]
)
def test_bad_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        tic_tac_toe(**options)
