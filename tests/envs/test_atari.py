"""Atari protocols on the installed simulator: what the options do, how lives and games end, and scores."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import replay
from agents.base import FIRST, LAST, MID, Agent, Info, Step, TimeStep
from envs.adapters.atari import PROTOCOLS, SCORES, atari, game_of, games, human_normalised
from envs.base import Box
from experiments.drivers import base
from tests.envs.test_envpool import check, roll

protocols = pytest.mark.parametrize("protocol", PROTOCOLS)


def played(game: str, steps: int, lanes: int = 3, act: Any = None, seed: int = 0, **options: Any) -> TimeStep:
    """Rows `[steps + 1, lanes]` of a game."""
    pool = atari(game, num_threads=1, **options).pool(lanes, seed)
    rows = roll(pool, steps, act)
    check(pool, rows, ends=False)
    pool.close()
    return rows


@protocols
def test_options_are_the_simulators(protocol: str) -> None:
    import envpool as simulator

    config = simulator.make_spec("Pong-v5", **PROTOCOLS[protocol]).config._asdict()
    assert PROTOCOLS[protocol].items() <= config.items()
    chosen = {"mode", "difficulty"}  # of the cartridge, and left as they are
    run = {"num_envs", "batch_size", "num_threads", "max_num_players", "thread_affinity_offset", "base_path", "seed"}
    assert config.keys() - PROTOCOLS[protocol].keys() - chosen - run == {"env_seed", "gym_reset_return_info", "task"}


@protocols
def test_specification(protocol: str) -> None:
    spec = envs.make("atari/Pong", protocol=protocol).spec
    assert spec.name == "atari/Pong"
    assert spec.observation == Box((84, 84, 4), 0, 255, np.uint8)
    assert spec.action.num == 6
    assert spec.time_limit * PROTOCOLS[protocol]["frame_skip"] == 108_000
    assert envs.make("atari/Pong", protocol=protocol, stack_num=2).spec.observation.shape == (84, 84, 2)


def test_sticky_is_the_default() -> None:
    rows, named, other = (played("Breakout", 20, **options) for options in ({}, {"protocol": "sticky"}, CLASSIC))
    assert (rows.observation == named.observation).all()
    assert (rows.observation != other.observation).any()


CLASSIC = {"protocol": "classic"}


def test_starts_of_games() -> None:
    """Random no-ops in the one, none in the other, where lanes differ by what repeats alone."""
    still = lambda rng: np.zeros(8, int)  # noqa: E731
    first = played("Breakout", 0, 8, still, protocol="sticky").observation[0]
    assert (first == first[0]).all()
    varied = played("SpaceInvaders", 0, 8, still, **CLASSIC).observation[0]
    assert len(np.unique(varied.reshape(8, -1), axis=0)) > 1
    assert (first[..., :1] == first).all(), "a stack begins with copies of its first frame"


def test_actions_repeat_in_one_protocol_alone() -> None:
    """Lanes that do the same diverge if frames repeat actions at random, and never if not."""
    actions = np.random.default_rng(0).integers(0, 4, 40)
    for protocol, alike in (("sticky", False), ("classic", True)):
        mine = iter(actions)
        rows = played("Breakout", 40, 6, lambda _, mine=mine: np.full(6, next(mine)), protocol=protocol, noop_max=1)
        assert (rows.observation == rows.observation[:, :1]).all() == alike
    always = played("Breakout", 40, 2, protocol="sticky", repeat_action_probability=1.0)
    assert (always.observation[-1] == always.observation[0]).all(), "the first no-op, for ever"


def test_fire_is_left_to_the_agent() -> None:
    rows = played("Breakout", 120, 2, lambda _: np.zeros(2, int), **CLASSIC)
    assert (rows.discount == 1).all(), "no ball, no life lost"
    assert (played("Breakout", 120, 2, lambda _: np.ones(2, int), **CLASSIC).discount == 0).any()


def test_an_action_lasts_four_frames_of_which_the_last_two_are_seen() -> None:
    move = lambda _: np.array([2])  # noqa: E731
    options = {"protocol": "classic", "noop_max": 1}
    halves = played("Pong", 40, 1, move, frame_skip=2, stack_num=1, **options).observation[2::2, 0]
    whole = played("Pong", 20, 1, move, **options).observation[1:, 0]
    assert (whole[..., 3:] == halves).all()
    assert (whole[1:] != whole[:-1]).any()


def test_rewards_are_the_games() -> None:
    reward = played("Qbert", 120, **CLASSIC).reward
    assert set(np.unique(reward)) >= {0.0, 25.0}


@pytest.fixture(scope="module")
def lost() -> TimeStep:
    """Whole games of Breakout by random play, quicker than the protocol's."""
    return played("Breakout", 300, frame_skip=12, **CLASSIC)


def test_a_lost_life_has_discount_0_and_the_game_goes_on(lost: TimeStep) -> None:
    kind, _, discount, observation = lost
    assert np.isin(discount[kind == LAST], 0).all()
    assert (discount[kind == FIRST] == 1).all()
    for lane in range(3):
        opened, closed = np.flatnonzero(kind[:, lane] == FIRST), np.flatnonzero(kind[:, lane] == LAST)
        assert len(closed) > 0
        for start, end in zip(opened, closed, strict=False):
            inside = slice(start + 1, end)
            assert (kind[inside, lane] == MID).all()
            assert (discount[inside, lane] == 0).sum() == 4, "five lives, the last of which ends the game"
    after = np.argwhere((kind[:-2] == MID) & (discount[:-2] == 0) & (kind[2:] == MID))
    t, lane = after[0]
    assert (observation[t + 1, lane, ..., 2] == observation[t, lane, ..., 3]).all(), "frames run on"


def test_the_other_protocol_has_no_such_signal() -> None:
    kind, _, discount, _ = played("Breakout", 230, frame_skip=12, protocol="sticky")
    assert (kind == LAST).any()
    assert (discount[kind == MID] == 1).all()
    assert (discount[kind == LAST] == 0).all()


def silent() -> Agent:
    """Does nothing and learns nothing."""
    act = lambda actor, key, carry, timestep, explore: (jnp.zeros(timestep.reward.shape, jnp.int32), (), ())  # noqa: E731
    return Agent(lambda k, t: (), lambda s: (), lambda b: (), act, lambda s, k, x: (s, Info({"loss": jnp.float32(0)})))


def test_returns_are_of_whole_games(lost: TimeStep) -> None:
    kind, reward, _, _ = lost
    expected, lengths = [], []
    for lane in range(3):
        opened, closed = np.flatnonzero(kind[:, lane] == FIRST), np.flatnonzero(kind[:, lane] == LAST)
        for start, end in zip(opened, closed, strict=False):
            expected.append(reward[start + 1 : end + 1, lane].sum(dtype=np.float64))
            lengths.append(end - start)

    def body(live: base.Live, timestep: TimeStep) -> tuple[base.Live, None]:
        return base.act_row(silent(), (), live, jax.random.key(0), timestep)[1], None

    bare = lost._replace(observation=())
    live, _ = jax.lax.scan(body, base.begin(silent(), 3), jax.tree.map(jnp.asarray, bare))
    finished = jax.tree.map(lambda x: x.sum(), live.finished)
    assert finished.episodes == len(expected)
    np.testing.assert_allclose(finished.returns, sum(expected))
    assert finished.lengths == sum(lengths)


class Gifted:
    """A simulator whose first lane has a life more at steps 5 to 7; its discount is 0 whenever their number changes."""

    def __init__(self, raw: Any, order: dict[str, int]):
        self.raw, self.order, self.time = raw, order, -1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.raw, name)

    def _recv(self) -> list[Any]:
        rows = [np.array(x) for x in self.raw._recv()]
        self.time += 1
        rows[self.order["info:lives"]][0] += 5 <= self.time < 8
        if self.time in (5, 8):
            rows[self.order["discount"]][0] = 0
        return rows


def test_a_gained_life_is_not_a_lost_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator's own discount is 0 for both, as at 10,000 points of Atlantis."""
    import envpool as simulator

    order = {name: place for place, name in enumerate(simulator.make_spec("Breakout-v5").state_array_spec)}
    make = simulator.make_gymnasium
    monkeypatch.setattr(simulator, "make_gymnasium", lambda *args, **options: Gifted(make(*args, **options), order))
    rows = played("Breakout", 10, 2, lambda _: np.zeros(2, int), **CLASSIC)
    assert (rows.step_type[1:] == MID).all()
    np.testing.assert_array_equal(rows.discount[:, 0], np.where(np.arange(11) == 8, 0, 1))
    assert (rows.discount[:, 1] == 1).all()


@protocols
def test_the_cap_truncates(protocol: str) -> None:
    kind, _, discount, _ = played("Pong", 25, 2, protocol=protocol, max_episode_steps=10)
    assert (np.flatnonzero(kind[:, 0] == LAST) == [10, 21]).all()
    assert (discount == 1).all()


def test_the_replay_stacks_frames_as_the_game_does() -> None:
    rows = played("Breakout", 60, 2, max_episode_steps=25, **CLASSIC)
    assert (rows.step_type[1:] == FIRST).any()
    steps = Step(jax.tree.map(jnp.asarray, rows), jnp.zeros(rows.reward.shape, jnp.int32))
    memory = replay.uniform(61 * 2, 64, length=1, frames=4)
    state = memory.add(memory.init(jax.tree.map(lambda x: x[0], steps)), steps)
    assert state.rows.timestep.observation.shape == (61 * 2, 84, 84, 1)
    sample = memory.sample(state, jax.random.key(0))
    for t in range(2):
        expected = rows.observation[np.asarray(sample.index.time) + t, np.asarray(sample.index.lane)]
        np.testing.assert_array_equal(sample.steps.timestep.observation[t], expected)


def test_names() -> None:
    assert set(SCORES) <= set(games())
    assert set(envs.names("atari")) == {f"atari/{game}" for game in games()}
    assert [game_of(name) for name in ("atari/Pong", "envpool/MsPacman-v5")] == ["Pong", "MsPacman"]
    for name in ("bellmax/catch", "envpool/CartPole-v1", "atari/Adventure", "gymnasium/Pong", "atari"):
        assert game_of(name) is None


@pytest.mark.parametrize(
    ("game", "score", "normalised"),
    [
        ("Pong", -20.7, 0.0),
        ("Pong", 14.6, 1.0),
        ("Breakout", 59.3, 2.0),
        ("Skiing", -17098.1 - 12761.2, -1.0),
        ("Seaquest", 68.4 + 0.25 * (42054.7 - 68.4), 0.25),
    ],
)
def test_human_normalised(game: str, score: float, normalised: float) -> None:
    np.testing.assert_allclose(human_normalised(game, score), normalised, atol=1e-9)
    np.testing.assert_allclose(human_normalised(game, np.array([score, score])), [normalised] * 2, atol=1e-9)


def test_the_table_of_scores() -> None:
    """No figure of it has changed."""
    assert len(SCORES) == 57
    assert all(human > random for random, human in SCORES.values())
    np.testing.assert_allclose(np.array(list(SCORES.values())).sum(0), [50864.9, 606494.2])


@pytest.mark.parametrize(
    ("game", "options", "message"),
    [
        ("Pnog", {}, "unknown Atari game 'Pnog'; closest: Pong"),
        ("Pong-v5", {}, "closest: Pong"),
        ("Pong", {"protocol": "strict"}, "protocol is 'strict'; allowed: sticky, classic"),
        ("Pong", {"frames": 4}, "no option 'frames'; allowed: .*stack_num"),
        ("Pong", {"noop_max": 0}, "noop_max is 0; allowed: 1 or more"),
    ],
)
def test_refusals(game: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envs.make(f"atari/{game}", **options)


def test_no_score_without_a_human() -> None:
    with pytest.raises(ValueError, match=r"unknown game .*'Pnog'; closest: Pong"):
        human_normalised("Pnog", 0.0)


def test_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "envpool", None)
    for use in (lambda: envs.make("atari/Pong"), lambda: envs.names("atari")):
        with pytest.raises(ValueError, match="suite 'atari' needs the package envpool: pip install envpool"):
            use()
