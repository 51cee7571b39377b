"""Recorded episodes: what is refused, what is told of them, and what is drawn from them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import valid
from envs.base import FIRST, LAST, MID, Box, Discrete, Spec
from replay import dataset
from replay.base import Step
from replay.recorded import Lent
from tests.replay import model
from tests.sets import drawn

SPEC = Spec("small", Box((2,)), Discrete(3))


def rows(*lengths: int) -> Step:
    """Episodes of so many transitions, whose rows, rewards and actions are their number in the log."""
    kinds = np.concatenate([[FIRST, *[MID] * (n - 1), LAST] for n in lengths]).astype(np.int8)
    at = np.arange(len(kinds))
    discount = np.where((kinds == LAST) & (np.cumsum(kinds == LAST) % 2 == 1), 0.0, 1.0)
    timestep = model.TimeStep(kinds, np.where(kinds == FIRST, 0.0, at), discount, np.stack([at, at**2], -1))
    return Step(timestep, at % 3)


def lent(data: dataset.Dataset) -> Lent:
    return Lent((), jax.tree.map(jnp.asarray, replay.arrays(data)))


def changed(field: str, row: int, value: object) -> Step:
    found = rows(3, 2)
    if field == "action":
        return found._replace(action=put(found.action.astype(np.float64), row, value))
    return found._replace(
        timestep=found.timestep._replace(**{field: put(getattr(found.timestep, field) * 1.0, row, value)})
    )


def put(x: np.ndarray, row: int, value: object) -> np.ndarray:
    x = np.array(x)
    x[row] = value
    return x.astype(np.int8) if x.shape == (7,) and value in (0, 1, 2, 5) and x.max() <= 5 else x


def test_a_dataset_keeps_its_episodes_and_cannot_be_written_to():
    data = dataset.of(rows(3, 2, 4), "suite/task", ["a=1"], {"policy": "random"})
    assert (data.episodes, data.transitions, data.env_options) == (3, 9, ("a=1",))
    np.testing.assert_array_equal(data.returns(), [6, 11, 38])
    np.testing.assert_array_equal(data.episode(1).timestep.observation[:, 0], [4, 5, 6])
    assert data.rows.timestep.reward.dtype == np.float32 and data.rows.action.dtype == np.int32
    with pytest.raises(ValueError, match="read-only"):
        data.rows.timestep.reward[0] = 1


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (lambda: changed("observation", 5, np.nan), "x: episode 1, row 1 of it: observation is not finite"),
        (lambda: changed("reward", 2, np.inf), "x: episode 0, row 2 of it: reward is not finite"),
        (lambda: changed("action", 1, np.nan), "x: episode 0, row 1 of it: action is not finite"),
        (lambda: changed("reward", 4, 1.0), "x: episode 1, row 0 of it: reward is 1.0 in the FIRST row; must be 0"),
        (lambda: changed("discount", 3, 0.5), "x: episode 0, row 3 of it: discount is 0.5; must be 0 where"),
        (lambda: changed("discount", 1, 1.5), "x: episode 0, row 1 of it: discount is 1.5"),
        (lambda: changed("step_type", 3, MID), "x: episode 0: step_type ends with 1 in row 3; must end with LAST"),
        (lambda: changed("step_type", 0, MID), "x: episode 0: step_type begins with 1; must begin with FIRST"),
        (lambda: changed("step_type", 1, LAST), "x: episode 0: step_type goes on after LAST in row 1"),
        (lambda: changed("step_type", 1, 5), "x: step_type 5 in row 1; allowed: 0, 1, 2"),
        (lambda: model.rows(rows(3), 0, 3), "x: step_type has no LAST row (2); every episode must have its end"),
        (lambda: model.rows(rows(3), 0, 0), "x: step_type has no rows"),
        (lambda: rows(3)._replace(action=np.zeros(3)), r"x: action has the shape (3,); must begin with 4"),
        (lambda: rows(3)._replace(action=np.array(["a"] * 4)), "x: action has the dtype <U1; must be numbers"),
        (lambda: rows(3)._replace(action=np.full(4, 2**40)), "x: action has whole numbers from"),
    ],
)
def test_a_refusal_names_file_episode_and_field_in_one_line(broken, told):
    with pytest.raises(ValueError) as caught:
        dataset.of(broken(), named="x")
    assert str(caught.value).startswith(told) and "\n" not in str(caught.value)


def test_a_dataset_of_another_task_is_refused():
    data = drawn(SPEC)
    dataset.fits(data, SPEC)
    for spec, told in (
        (SPEC._replace(observation=Box((3,))), r"data: observation is float32\[2\]; must be as in small, float32\[3\]"),
        (SPEC._replace(observation={"a": Box((2,))}), "data: has observation, action; must be as in small, which has"),
        (SPEC._replace(observation=Box((2,), 0, 255, np.uint8)), r"must be as in small, uint8\[2\]"),
        (SPEC._replace(action=Discrete(2)), "action is 2; must be as in small, from 0 to below 2"),
        (SPEC._replace(action=Box((1,))), r"action is int32\[\]; must be as in small, float32\[1\]"),
    ):
        with pytest.raises(ValueError, match=told):
            dataset.fits(data, spec, "data")


def test_facts_are_of_rows_that_have_a_successor_and_of_whole_episodes():
    data = dataset.of(rows(3, 2, 4))
    known = dataset.facts(data)
    taken = np.array([0, 1, 2, 4, 5, 7, 8, 9, 10], np.float64)
    np.testing.assert_allclose(known.mean, [taken.mean(), (taken**2).mean()], rtol=1e-6)
    np.testing.assert_allclose(known.std, [taken.std(), (taken**2).std()], rtol=1e-6)
    np.testing.assert_array_equal(known.returns, [38, 11, 6])
    np.testing.assert_array_equal(known.counts, [4, 6, 9])
    assert (known.episodes, known.transitions, known.longest) == (3, 9, 4)
    shapes = lambda facts: jax.tree.map(np.shape, (facts.mean, facts.std))  # noqa: E731
    assert shapes(dataset.unknown(SPEC)) == shapes(known)


def test_the_best_by_episodes_and_by_steps_are_not_the_same():
    known = dataset.facts(dataset.of(rows(3, 2, 4)))
    assert [known.top(x) for x in (0.01, 1 / 3, 0.34, 1.0)] == [4, 4, 6, 9]
    assert [known.top(x, "steps") for x in (0.01, 0.5, 0.67, 1.0)] == [4, 4, 6, 9]
    assert int(jax.jit(known.top)(jnp.float32(0.34))) == 6
    assert int(jax.jit(lambda x: known.top(x, "steps"))(jnp.float32(0.67))) == 6
    with pytest.raises(ValueError, match="allowed: trajectories, steps"):
        known.top(0.5, "length")


@pytest.mark.parametrize("length", [1, 3])
def test_windows_begin_at_every_row_with_a_successor_and_never_cross_an_end(length):
    data = dataset.of(rows(3, 2, 4))
    sample = jax.jit(replay.recorded(512, length).sample)(lent(data), jax.random.key(0))
    start, kind = np.asarray(sample.index), np.asarray(sample.steps.timestep.step_type)
    assert set(start) == {0, 1, 2, 4, 5, 7, 8, 9, 10} and (kind[0] != LAST).all()
    ends = np.array([3, 3, 3, 3, 6, 6, 6, *[11] * 5])
    seen = np.asarray(sample.steps.timestep.observation)[..., 0]
    at = start + np.arange(length + 1)[:, None]
    within = at <= ends[start]
    np.testing.assert_array_equal(seen, np.minimum(at, ends[start]))
    np.testing.assert_array_equal(np.asarray(valid(sample.steps)), within[1:])
    np.testing.assert_array_equal(sample.steps.timestep.reward, np.where(within & (kind != FIRST), at, 0))


def test_n_step_returns_stop_at_the_end():
    data = dataset.of(rows(3, 2))
    buffer = replay.mapped(replay.recorded(256, 3), replay.n_step(3, 0.5))
    sample = jax.jit(buffer.sample)(lent(data), jax.random.key(0))
    found = {int(i): float(r) for i, r in zip(sample.index, sample.steps.timestep.reward[1], strict=True)}
    assert found == {0: 1 + 2 / 2 + 3 / 4, 1: 2 + 3 / 2, 2: 3.0, 4: 5 + 6 / 2, 5: 6.0}
    left = {int(i): float(d) for i, d in zip(sample.index, sample.steps.timestep.discount[1], strict=True)}
    assert left == {0: 0.0, 1: 0.0, 2: 0.0, 4: 0.5, 5: 1.0}


def test_what_followed_is_told_of_a_dataset_and_of_what_is_played():
    """From rewards of 1, 2, ..., whose row says which; the last episode of what is played is under way."""
    data = dataset.of(rows(3, 2, 4))
    follows = replay.to_go(0.5, 4, lambda reward: 2 * reward + 1)
    ends = np.array([3, 3, 3, 3, 6, 6, 6, *[11] * 5])

    def expected(row: int) -> float:
        return sum(0.5**k * (2 * (row + 1 + k) + 1) for k in range(ends[row] - row))

    sample = jax.jit(replay.mapped(replay.recorded(256), follows, replay.rewards(lambda r: 0 * r)).sample)(
        lent(data), jax.random.key(0)
    )
    told = np.asarray(sample.steps.extras["to_go"])
    np.testing.assert_allclose(told[0], [expected(int(row)) for row in sample.index], rtol=1e-6)
    assert np.array_equal(told[0], told[1]) and not np.any(sample.steps.timestep.reward)
    kept = jax.tree.map(lambda x: x[:9, None], data.rows)  # of the last episode two rows
    memory = replay.mapped(replay.uniform(9, 64), follows)
    state = memory.add(memory.init(jax.tree.map(lambda x: x[0], kept)), kept)
    sample = jax.jit(memory.sample)(state, jax.random.key(1))
    told, row = np.asarray(sample.steps.extras["to_go"])[0], np.asarray(sample.index.time)
    assert set(row) == set(range(8))
    known = (row != 7) & (row != 3) & (row != 6)  # from a LAST row, which is masked, nothing follows
    np.testing.assert_allclose(told[known], [expected(int(each)) for each in row[known]], rtol=1e-6)
    assert np.all(told[row == 7] == -np.inf)
    near = jax.jit(replay.mapped(replay.recorded(64), replay.to_go(0.5, 2)).sample)(lent(data), jax.random.key(0))
    seen = np.isfinite(near.steps.extras["to_go"][0])
    np.testing.assert_array_equal(seen, ends[near.index] - np.asarray(near.index) <= 2)
    with pytest.raises(ValueError, match="horizon is 0; it must be at least 1"):
        replay.to_go(0.5, 0)


def test_among_draws_from_the_best_episodes_alone():
    data = dataset.of(rows(3, 2, 4))
    sample = jax.jit(replay.recorded(256, among=6).sample)(lent(data), jax.random.key(0))
    assert set(np.asarray(sample.index)) == {7, 8, 9, 10, 4, 5}


def test_contexts_are_padded_on_the_left_and_know_time_and_reward_to_go():
    data = dataset.of(rows(3, 2, 4))
    sample = jax.jit(replay.contexts(256, 3).sample)(lent(data), jax.random.key(0))
    mask, time = (np.asarray(sample.steps.extras[name]) for name in ("mask", "time"))
    assert (mask[-1]).all() and set(mask.sum(axis=0)) == {1, 2, 3} and (np.diff(mask.astype(int), axis=0) >= 0).all()
    begins, ends = np.array([0, 0, 0, 0, 4, 4, 4, *[7] * 5]), np.array([3, 3, 3, 3, 6, 6, 6, *[11] * 5])
    seen = np.asarray(sample.steps.timestep.observation)[..., 0].astype(int)
    np.testing.assert_array_equal(time, seen - begins[seen])
    to_go = np.array([sum(range(row + 1, ends[row] + 1)) for row in range(12)])
    np.testing.assert_array_equal(sample.steps.extras["to_go"], to_go[seen])
    assert (np.asarray(sample.steps.timestep.step_type) != LAST).all()
    for n in range(256):
        real = seen[mask[:, n], n]
        assert real[0] == sample.index[n] and (np.diff(real) == 1).all()
        assert (seen[~mask[:, n], n] == real[0]).all()
        assert len(real) == 3 or real[-1] == ends[real[0]] - 1


def test_vmapped_seeds_share_the_arrays_and_equal_single_ones():
    data, buffer = lent(dataset.of(rows(3, 2, 4))), replay.recorded(4)
    single = jax.jit(buffer.sample)
    keys = jax.random.split(jax.random.key(1), 2)
    together = jax.jit(jax.vmap(buffer.sample, (None, 0)))(data, keys)
    for s in range(2):
        alone = single(data, keys[s])
        jax.tree.map(lambda x, y, s=s: np.testing.assert_array_equal(x[s], y), together.steps, alone.steps)
    assert np.any(together.index[0] != together.index[1])


def test_nothing_is_added_and_the_state_holds_nothing():
    buffer = replay.recorded(4)
    state = buffer.init(rows(3))
    assert jax.tree.leaves(state) == [] and buffer.serves_data and buffer.minimum == 0
    assert buffer.add(state, rows(3)) == state == buffer.feedback(state, (), None)
    for made in (replay.recorded, replay.contexts):
        with pytest.raises(ValueError, match="batch_size is 0"):
            made(0, 1)
        with pytest.raises(ValueError, match="length is 0"):
            made(1, 0)


def test_lanes_are_cut_into_whole_episodes():
    log = model.history([[(3, model.TERMINATED), (2, model.TRUNCATED)], [(4, model.TRUNCATED)]], 12)
    found = dataset.lanes(log)
    assert [len(each.action) - 1 for each in found] == [3, 2, 3, 4, 4]
    np.testing.assert_array_equal(found[1].action, [4, 5, 6])
    cut = dataset.lanes(log, cut=True)
    assert [len(each.action) - 1 for each in cut] == [3, 2, 3, 4, 4, 1]
    assert cut[-1].timestep.step_type[-1] == LAST and cut[-1].timestep.discount[-1] == 1
    assert log.timestep.step_type[-1, 1] == MID  # what was cut was a copy
    late = dataset.lanes(model.rows(log, 1, 12))
    assert [int(each.action[0]) for each in late] == [4, 7, 1005]
    assert dataset.joined([each._replace(extras=()) for each in found]).episodes == 5


def test_a_thinned_set_keeps_returns_and_every_other_row():
    thin = dataset.thinned(dataset.of(rows(5, 4)), 2)
    np.testing.assert_array_equal(thin.rows.timestep.observation[:, 0], [0, 2, 4, 5, 6, 8, 10])
    np.testing.assert_array_equal(thin.rows.timestep.reward, [0, 3, 7, 5, 0, 15, 19])
    np.testing.assert_array_equal(thin.returns(), dataset.of(rows(5, 4)).returns())
    assert thin.about["every"] == 2 and thin.rows.timestep.discount[3] == 0


def test_sets_of_one_task_are_joined_and_others_refused():
    one, other = dataset.of(rows(3), "a/b", about={"policy": "x"}), dataset.of(rows(2), "a/b")
    both = dataset.concatenated([one, other], ["1.npz", "2.npz"])
    assert both.episodes == 2 and both.about["sets"][0] == {"episodes": 1, "policy": "x"}
    with pytest.raises(ValueError, match=r"2.npz: its task \('c/d', \(\)\) differ"):
        dataset.concatenated([one, other._replace(env="c/d")], ["1.npz", "2.npz"])
    with pytest.raises(ValueError, match=r"2.npz: its fields"):
        dataset.concatenated([one, drawn(SPEC._replace(action=Box((1,), -1, 1)), env="a/b")], ["1.npz", "2.npz"])


def test_images_stay_bytes_and_have_no_statistics():
    spec = Spec("image", {"x": Box((4, 4, 1), 0, 255, np.uint8), "v": Box((2,))}, Box((1,), -1.0, 1.0))
    data = drawn(spec)
    assert data.rows.timestep.observation["x"].dtype == np.uint8
    known = dataset.facts(data)
    assert (known.mean["x"] == 0).all() and (known.std["x"] == 1).all() and (known.std["v"] > 0.1).all()
    sample = jax.jit(replay.recorded(8).sample)(lent(data), jax.random.key(0))
    assert sample.steps.timestep.observation["x"].dtype == jnp.uint8
