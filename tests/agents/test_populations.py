"""Who copies whom in a population, and how what is copied is changed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.common import populations
from envs import keys
from experiments.studies import population_quadratic

MANY = jax.random.split(keys.key(0), 200)


def test_truncation_lets_the_worst_fifth_copy_the_best_fifth_alone():
    scores = jnp.asarray(np.random.default_rng(0).permutation(40.0 * np.ones(40) + np.arange(40))[:, None])
    ranks = np.argsort(np.argsort(-scores[:, 0])) + 1  # 1 is the best
    parents = np.asarray(jax.vmap(lambda key: populations.truncation(key, scores))(MANY))
    copied = parents != np.arange(40)
    assert (copied == (ranks >= 33)).all()
    sources = ranks[parents[copied]]
    assert sorted(set(sources.tolist())) == list(range(1, 9))
    counts = np.bincount(sources)[1:]
    assert np.abs(counts - counts.mean()).max() < 5 * np.sqrt(counts.mean())  # drawn uniformly


def test_nobody_copies_a_member_that_died_and_a_dead_one_copies():
    scores = jnp.array([[jnp.nan], [3.0], [jnp.nan], [1.0], [2.0], [0.5]])
    for rule in ("truncation", "tournament", "t-test"):
        turn = lambda key, rule=rule: populations.parents(rule, key, jnp.repeat(scores, 2, 1), 0.5)  # noqa: E731
        parents = np.asarray(jax.vmap(turn)(MANY))
        own = np.arange(6)
        assert not ((parents == 0) & (own != 0)).any() and not ((parents == 2) & (own != 2)).any()
        assert (parents[:, [0, 2]] != own[[0, 2]]).any(axis=0).all()


def test_a_tournament_is_lost_to_a_better_member_only():
    scores = jnp.arange(5.0)[:, None]
    parents = np.asarray(jax.vmap(lambda key: populations.tournament(key, scores))(MANY))
    assert (parents >= np.arange(5)).all() and (parents[:, 4] == 4).all()
    assert 0.9 < (parents[:, 0] != 0).mean() <= 1.0 and 0.1 < (parents[:, 3] != 3).mean() < 0.4


def test_welch_is_that_of_scipy():
    from scipy import stats

    rng = np.random.default_rng(1)
    a, b = rng.normal(0, 1, (6, 10)), rng.normal(0.7, 2, (6, 10))
    expected = stats.ttest_ind(a, b, axis=1, equal_var=False).pvalue
    np.testing.assert_allclose(populations.welch(jnp.asarray(a), jnp.asarray(b)), expected, rtol=1e-3)
    same, other = jnp.zeros((1, 3)), jnp.ones((1, 3))
    assert populations.welch(same, other).item() == 0 and populations.welch(same, same).item() == 1


def test_the_t_test_copies_what_is_significantly_better_alone():
    noise = np.random.default_rng(2).normal(0, 1, (2, 10))
    close, far = (jnp.asarray(noise + np.array([[0.0], [gap]])) for gap in (0.2, 5.0))
    assert populations.t_test(MANY[0], close).tolist() == [0, 1]
    assert populations.t_test(MANY[0], far).tolist() == [1, 1]


def test_numbers_are_multiplied_by_one_of_two_factors_or_drawn_anew_and_held_between_bounds():
    bounds = populations.Bounds(1e-4, 1e-2)
    values = jnp.full(4000, 1e-3)
    perturbed = np.asarray(populations.explored(MANY[0], values, bounds, populations.Explore()))
    assert sorted({round(float(x), 4) for x in perturbed / 1e-3}) == [0.8, 1.2]
    assert abs((perturbed > 1e-3).mean() - 0.5) < 0.05
    resampled = np.asarray(populations.explored(MANY[0], values, bounds, populations.Explore(resample=0.25)))
    new = ~np.isclose(resampled, 8e-4) & ~np.isclose(resampled, 1.2e-3)
    assert abs(new.mean() - 0.25) < 0.03
    assert abs(np.log10(resampled[new]).mean() + 3) < 0.08  # uniform in the logarithm
    held = populations.explored(MANY[0], jnp.array([1e-4, 1e-2]), bounds, populations.Explore((0.5, 2.0)))
    assert (held >= bounds.low).all() and (held <= bounds.high).all()
    linear = populations.drawn(MANY[0], populations.Bounds(0.0, 1.0), (4000,))
    assert abs(linear.mean().item() - 0.5) < 0.03


def test_a_member_that_goes_on_keeps_its_numbers_and_a_copy_has_changed_ones():
    values = {"b": jnp.array([1.0, 2.0, 3.0, 4.0]), "a": jnp.array([10.0, 20.0, 30.0, 40.0])}
    bounds = dict.fromkeys(values, populations.Bounds(0.0, 100.0))
    scores = jnp.array([[0.0], [1.0], [2.0], [9.0]])
    parents, after = populations.turn(MANY[3], scores, values, bounds)
    assert parents.tolist() == [3, 1, 2, 3]
    assert after["a"][1:].tolist() == [20, 30, 40] and after["b"][1:].tolist() == [2, 3, 4]
    assert round(after["a"][0].item() / 40, 3) in (0.8, 1.2) and round(after["b"][0].item() / 4, 3) in (0.8, 1.2)


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="rule best: must be one of truncation, tournament, t-test, none"):
        populations.parents("best", MANY[0], jnp.zeros((2, 1)))


def test_two_workers_that_each_see_half_of_a_quadratic_climb_it_together():
    seeds = range(40)
    assert np.median(population_quadratic.best(seeds)) > 1.1
    np.testing.assert_allclose(population_quadratic.best(seeds, rule="none"), 1.2 - 0.81, atol=2e-3)
    np.testing.assert_array_less(population_quadratic.best(seeds, explore=False), 0.4)
