"""What hierarchies compute of goals, against plain numpy; and the correction on a worker who learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from envs.tasks.drifting_worker import STRIDE, worker
from experiments.studies.drifting_worker import led

RNG = np.random.default_rng(0)
S, G, NEXT = RNG.normal(size=(3, 5, 4))
C, D, A = 6, 3, 2


@pytest.mark.parametrize(
    ("loss", "reference"),
    [
        (losses.goal_transition, lambda s, g, n: s + g - n),
        (losses.goal_reward, lambda s, g, n: -np.linalg.norm(s + g - n)),
        (losses.goal_distance, lambda s, g, n: np.linalg.norm(s + g - n)),
        (losses.direction_reward, lambda s, g, n: (n - s) @ g / (np.linalg.norm(n - s) * np.linalg.norm(g))),
    ],
)
def test_golden(loss, reference):
    expected = np.array([reference(*row) for row in zip(S, G, NEXT, strict=True)])
    arrays = [jnp.asarray(x, jnp.float32) for x in (S, G, NEXT)]
    np.testing.assert_allclose(jax.jit(loss)(*arrays), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(loss(*(x[:, None] for x in arrays))[:, 0], expected, rtol=1e-5, atol=1e-5)


def test_reward_has_a_gradient_where_the_goal_is_reached():
    gradient = jax.grad(losses.goal_reward, 2)(jnp.ones(3), jnp.ones(3), 2 * jnp.ones(3))
    np.testing.assert_array_equal(gradient, np.zeros(3))


def test_log_likelihood_is_in_halves_of_the_range():
    """Actions of ±30 count like actions of ±1: without the division the candidates' order would depend on units."""
    mean, a = RNG.uniform(-1, 1, (2, 7, A))
    expected = -((a - mean) ** 2).sum(-1)
    np.testing.assert_allclose(losses.action_log_prob(jnp.asarray(mean), jnp.asarray(a), 1.0), expected, rtol=1e-5)
    scale = np.array([[30.0, 5.0]], np.float32)
    scaled = losses.action_log_prob(jnp.asarray(mean * scale), jnp.asarray(a * scale), jnp.asarray(scale))
    np.testing.assert_allclose(scaled, expected, rtol=1e-4)


def test_candidates():
    low, high = np.array([-1.0, -2.0, -3.0], np.float32), np.array([1.0, 4.0, 3.0], np.float32)
    goal, move = jnp.array([0.5, 0.5, 9.0]), jnp.array([0.2, 1.0, 0.0])
    draw = jax.jit(lambda key: losses.goal_candidates(key, goal, move, low, high))
    many = np.asarray(jax.vmap(draw)(jax.random.split(jax.random.key(0), 4000)))
    assert many.shape == (4000, 10, 3)
    np.testing.assert_allclose(many[:, 0], np.broadcast_to([0.5, 0.5, 3.0], (4000, 3)))  # the old one, clipped too
    np.testing.assert_allclose(many[:, 1], np.broadcast_to(move, (4000, 3)))
    assert (many >= low).all() and (many <= high).all()
    inside = many[:, 2:, 1].ravel()  # bounds are 2 and more deviations away
    np.testing.assert_allclose(np.median(inside), 1.0, atol=0.05)
    np.testing.assert_allclose(np.subtract(*np.percentile(inside, [75, 25])), 1.349 * 0.5 * 3, rtol=0.05)


def walk(gain, goal, steps=C, key=0):
    """States and actions of a worker in D dimensions, of whom the first A are told by his actions."""
    states, actions = [RNG.normal(size=D)], []
    target = states[0] + goal
    for _ in range(steps):
        a = np.clip(gain * (target - states[-1]), -1, 1)[:A]
        actions.append(a)
        states.append(states[-1] + np.concatenate([0.5 * a, np.zeros(D - A)]))
    return np.array(states, np.float32), np.array(actions, np.float32)


def likelihood(gain):
    return lambda s, g, a: losses.action_log_prob(worker(gain, g)[..., :A], a, 1.0)


def reference_choice(gain, states, actions, candidates, steps):
    def total(candidate):
        sum_ = 0.0
        for i in range(steps):
            goal = states[0] + candidate - states[i]
            sum_ -= ((actions[i] - np.clip(gain * goal, -1, 1)[:A]) ** 2).sum()
        return sum_

    return int(np.argmax([total(np.asarray(c, np.float64)) for c in candidates]))


@pytest.mark.parametrize("steps", [C, 3])
def test_relabelling_picks_the_most_likely_candidate(steps):
    """Also of a window that its episode's end cuts short: later rows count for nothing, and c is what was taken."""
    within = np.arange(C) < steps
    seen = set()
    for trial in range(24):
        goal = RNG.uniform(-2, 2, D).astype(np.float32)
        states, actions = walk(0.2, goal)
        states[steps + 1 :] += 100.0
        key, gain = jax.random.key(trial), (0.1, 0.25, 0.6)[trial % 3]
        got = losses.relabel_goals(
            likelihood(gain),
            jnp.asarray(states),
            jnp.asarray(actions),
            jnp.asarray(goal),
            key,
            low=-3.0,
            high=3.0,
            within=within,
        )
        candidates = losses.goal_candidates(key, jnp.asarray(goal), jnp.asarray(states[steps] - states[0]), -3.0, 3.0)
        best = reference_choice(gain, states, actions, candidates, steps)
        assert int(got.candidate) == best
        np.testing.assert_array_equal(got.goal, candidates[best])
        seen.add(best)
    assert len(seen) > 2


def test_a_worker_who_has_not_changed_keeps_his_goal():
    """If the worker is the one who acted, no goal explains his actions better than the one that he had."""
    kept = []
    for trial in range(30):
        goal = RNG.uniform(-2, 2, D).astype(np.float32)
        states, actions = walk(0.2, goal)
        arrays = map(jnp.asarray, (states, actions, goal))
        got = losses.relabel_goals(likelihood(0.2), *arrays, jax.random.key(trial), low=-3.0, high=3.0)
        kept.append(int(got.candidate) == 0)
    assert np.mean(kept) == 1


def test_actions_pair_with_the_states_they_were_taken_in():
    """The likelihood is asked for action i in state i, never for one of a neighbour."""
    count = np.arange(C + 1, dtype=np.float32)
    states, actions = np.repeat(count[:, None], D, 1) * 0.1, np.repeat(count[:C, None], A, 1) * 0.1

    def log_prob(s, g, a):
        near = jnp.sum(jnp.square(g), axis=-1)
        return jnp.where(s[:, 0] == a[:, 0], -near, near)

    goal, key = jnp.full(D, 2.0), jax.random.key(0)
    got = losses.relabel_goals(log_prob, jnp.asarray(states), jnp.asarray(actions), goal, key, low=-3.0, high=3.0)
    candidates = np.asarray(losses.goal_candidates(key, goal, jnp.asarray(states[-1] - states[0]), -3.0, 3.0))
    total = [sum(((states[0] + c - states[i]) ** 2).sum() for i in range(C)) for c in candidates]
    assert int(got.candidate) == int(np.argmin(total))


def test_no_gradient_reaches_the_worker():
    states, actions = walk(0.2, np.ones(D))

    def chosen(gain):
        arrays = map(jnp.asarray, (states, actions, np.ones(D, np.float32)))
        return losses.relabel_goals(likelihood(gain), *arrays, jax.random.key(0), low=-3.0, high=3.0).goal.sum()

    assert jax.grad(chosen)(0.5) == 0


def test_leader_of_a_worker_who_learned():
    """Off-policy correction is what makes old walks worth learning from (threshold and ablation: 0.3 and 2)."""
    corrected, plain = led(0, True), led(0, False)
    assert corrected[1] <= 0.3, corrected
    assert plain[1] >= 2, plain
    assert plain[0] > 4 and STRIDE == 0.5


def test_values_of_horizons():
    reached, goal, q = RNG.normal(size=(3, 6, D))
    over = np.array([True, False] * 3)
    paid = -np.abs(goal - reached)
    arrays = [jnp.asarray(x, jnp.float32) for x in (reached, goal)]
    np.testing.assert_allclose(losses.reach_value(*arrays), paid, rtol=1e-5)
    target = losses.horizon_target(*arrays, jnp.asarray(over), jnp.asarray(q, jnp.float32))
    np.testing.assert_allclose(target, np.where(over[:, None], paid, q), rtol=1e-5)
    always = losses.horizon_target(*arrays, jnp.asarray(over), jnp.asarray(q, jnp.float32), "always")
    np.testing.assert_allclose(always, paid + np.where(over[:, None], 0, q), rtol=1e-5)
    slope = jax.grad(lambda q: losses.horizon_target(*arrays, jnp.asarray(over), q).sum())(jnp.asarray(q))
    np.testing.assert_array_equal(slope, 0)
