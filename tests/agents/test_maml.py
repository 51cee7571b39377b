"""MAML: its baseline, what a step does and what is differentiated through it, phases of a trial, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import losses
from agents.base import Sample, Step, TimeStep
from agents.common import linear_baseline, optimisers
from agents.common.linear_baseline import Rollouts
from agents.maml import Inner, Outer, adapting, inner_loss, maml, objective, policy_of
from agents.trpo import Region
from envs import parallel
from envs.base import Box
from experiments import maml as command
from experiments.run import flags, prepare
from networks.base import Network
from networks.distributions import Gaussian

TASKS, EPISODES, HORIZON = 3, 2, 4
LENGTH = EPISODES * (HORIZON + 1)
NETWORK = networks.q_network(networks.Torso(Box((2,)), (8,), cnn=None), networks.GaussianPolicy(2))


def window(seed=0):
    """Made-up rollouts `[LENGTH + 1, TASKS]`."""
    rng = np.random.default_rng(seed)
    shape = (LENGTH + 1, TASKS)
    kind = np.resize([0, 1, 1, 1, 2], LENGTH + 1).astype(np.int8)[:, None].repeat(TASKS, 1)
    reward = np.where(kind == 0, 0.0, rng.normal(size=shape)).astype(np.float32)
    timestep = TimeStep(kind, reward, np.ones(shape, np.float32), rng.normal(size=(*shape, 2)).astype(np.float32))
    action = rng.normal(size=(*shape, 2)).astype(np.float32)
    return jax.tree.map(jnp.asarray, Step(timestep, action, {"log_prob": rng.normal(size=shape).astype(np.float32)}))


def begun(inner=Inner(), outer=Outer()):  # noqa: B008
    agent = maml(NETWORK, optimisers.adam(1e-2, 1.0), LENGTH, inner, outer)
    first = jax.tree.map(lambda x: x[0], window().timestep)
    return agent, agent.init(jax.random.key(0), first)


ROLLOUTS = jax.jit(linear_baseline.rollouts)


@pytest.fixture(scope="module")
def whole():
    """A trial of one step: the agent's state at first, after the step, and after what was learned from it."""
    agent, state = begun()
    update = jax.jit(agent.update)
    states, infos = [state], []
    for seed in (1, 2, 3):
        state, info = update(state, jax.random.key(0), Sample(window(seed)))
        states.append(state)
        infos.append(info.metrics)
    return agent, states, infos


def close(a, b, **options):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **options), a, b)


def test_the_baseline_is_least_squares_and_advantages_are_returns_less_it():
    steps = window()
    rows = ROLLOUTS(steps, 0.9, 1.0)
    kind = np.asarray(steps.timestep.step_type)[:, 0]
    mask = kind[1:] != 0
    for task in range(TASKS):
        reward = np.asarray(steps.timestep.reward)[1:, task].astype(float)
        seen = np.asarray(steps.timestep.observation)[:-1, task].astype(float)
        returns = np.zeros(LENGTH)
        for t in range(LENGTH):
            going, factor = t, 1.0
            while mask[t] and going < LENGTH and mask[going]:
                returns[t] += factor * reward[going]
                factor *= 0.9
                going += 1
        clock = (np.arange(LENGTH) % (HORIZON + 1) / 100)[:, None]
        inputs = np.concatenate([seen, seen**2, clock, clock**2, clock**3, np.ones_like(clock)], axis=1)
        counted = inputs[mask]
        weights = np.linalg.solve(counted.T @ counted + 1e-3 * np.eye(8), counted.T @ returns[mask])
        raw = (returns - inputs @ weights)[mask]
        np.testing.assert_allclose(rows.advantage[task][mask], (raw - raw.mean()) / raw.std(), rtol=2e-2, atol=2e-3)
        np.testing.assert_allclose(rows.gain[task], reward[mask].sum() / EPISODES, rtol=1e-5)


def test_all_surrogates_have_one_gradient():
    rows = jax.tree.map(lambda x: x[0], ROLLOUTS(window(), 1.0, 1.0))
    _, state = begun()
    now = policy_of(NETWORK, state.params, rows.observation).log_prob(rows.action)
    rows = rows._replace(log_prob=now)  # as if it had acted
    slopes = {
        name: jax.jit(jax.grad(inner_loss(NETWORK, Inner(surrogate=name, discount=1.0))))
        for name in ("plain", "lvc", "dice")
    }
    plain, lvc = (slopes[name](state.params, rows) for name in ("plain", "lvc"))
    close(plain, lvc, rtol=1e-4, atol=1e-6)
    mean = jnp.sum((rows.advantage) * rows.mask)  # DiCE's advantages are not centred, which the others' are
    assert abs(float(mean)) < 1e-3
    advantage = linear_baseline.losses.gae(
        rows.reward, jnp.where(rows.step_type[1:] == 2, 0.0, 1.0), 1.0,
        jnp.append(rows.baseline, 0.0) * (rows.step_type != 2), rows.step_type,
    )  # fmt: skip
    uncentred = rows._replace(advantage=advantage / rows.spread)
    close(slopes["plain"](state.params, uncentred), slopes["dice"](state.params, rows), rtol=1e-3, atol=1e-5)


def test_a_trial_steps_once_learns_once_and_begins_again(whole):
    _, (start, stepped, learned, again), infos = whole
    close(start.params, stepped.params)
    assert [int(s.phase) for s in (start, stepped, learned, again)] == [0, 1, 0, 1]
    rows = ROLLOUTS(window(1), 0.99, 1.0)
    adapt = adapting(NETWORK, Inner())
    for task in range(TASKS):
        own = adapt(start.params, jax.tree.map(lambda x, task=task: x[task], rows))
        close(own, jax.tree.map(lambda x, task=task: x[task], stepped.adapted), rtol=1e-4, atol=1e-6)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), start.params, learned.params)
    assert all(x > 1e-3 for x in jax.tree.leaves(moved))
    for task in range(TASKS):
        close(learned.params, jax.tree.map(lambda x, task=task: x[task], learned.adapted))
    assert infos[1]["gain"] == infos[1]["return_1"] - infos[1]["return_0"]
    np.testing.assert_allclose(infos[0]["return_0"], rows.gain.mean(), rtol=1e-5)


def test_it_acts_with_what_each_task_has_become(whole):
    agent, (_, stepped, *_), _ = whole
    first = jax.tree.map(lambda x: x[0], window().timestep)
    action, _, extras = agent.act(agent.actor(stepped), jax.random.key(0), (), first, True)
    for task in range(TASKS):
        own = jax.tree.map(lambda x, task=task: x[task], stepped.adapted)
        policy = policy_of(NETWORK, own, first.observation[task : task + 1])
        np.testing.assert_allclose(policy.log_prob(action[task : task + 1])[0], extras["log_prob"][task], rtol=1e-4)
    greedy, _, _ = agent.act(agent.actor(stepped), jax.random.key(0), (), first, False)
    np.testing.assert_allclose(greedy, policy_of(NETWORK, stepped.params, first.observation).mean, rtol=1e-5)


def slope(inner=Inner(), outer=Outer()):  # noqa: B008
    """The gradient of what is learned from a trial, as one vector, and the loss as a function of the parameters."""
    _, state = begun(inner, outer)
    seen, after = (ROLLOUTS(window(seed), 0.99, 1.0) for seed in (1, 2))
    seen = jax.tree.map(lambda x: x[None], seen)
    flat, tree = jax.flatten_util.ravel_pytree(state.params)
    loss = objective(NETWORK, inner, outer)
    both = jax.jit(jax.value_and_grad(lambda vector: loss(tree(vector), state.params, seen, after)[0]))
    return both(flat)[1], lambda vector: both(vector)[0], flat


def test_the_gradient_goes_through_the_step_and_first_order_leaves_that_out():
    inner, outer = Inner(surrogate="plain"), Outer(clip=jnp.inf)
    gradient, of, flat = slope(inner, outer)
    direction = jax.random.normal(jax.random.key(1), flat.shape)
    direction = direction / jnp.linalg.norm(direction)
    by_difference = (of(flat + 1e-2 * direction) - of(flat - 1e-2 * direction)) / 2e-2
    np.testing.assert_allclose(gradient @ direction, by_difference, rtol=5e-2, atol=5e-3)
    first, _, _ = slope(inner._replace(first_order=True), outer)
    assert float(jnp.abs(first - gradient).max()) > 1e-3


def test_pretraining_exploration_and_penalty_change_what_is_learned():
    plain, _, _ = slope()
    for outer in (Outer(pretrain=True), Outer(exploration=1.0)):
        assert float(jnp.abs(slope(Inner(), outer)[0] - plain).max()) > 1e-3
    # The divergence from itself is at its minimum, so that its penalty has no gradient at first.
    np.testing.assert_allclose(slope(Inner(), Outer(kl_cost=10.0))[0], plain, rtol=1e-3, atol=1e-4)


STEPS, ROWS, RATE, CLIP = 2, 6, 0.3, 0.2


def linear():
    """Observation `[T, B, 2]` -> a normal whose mean is W x, without a network."""

    def apply(params, key, carry, observation, first):
        mean = observation @ params["w"].T
        return Gaussian(mean, jnp.broadcast_to(params["s"], mean.shape)), carry

    return Network(lambda key, observation: {}, apply, lambda lanes: ())


def made_up(lead, seed):
    """Rollouts `[*lead, ROWS]` of numbers that nobody played, in numpy's float64."""
    rng, shape = np.random.default_rng(seed), (*lead, ROWS)
    normal = lambda *more: rng.normal(size=(*shape, *more))  # noqa: E731
    return Rollouts(
        normal(2), normal(2), normal(), -3 + 0.3 * normal(), normal(), normal(), 1 + normal() ** 2,
        np.broadcast_to(np.arange(ROWS) % 3 < 2, shape), np.ones((*lead, ROWS + 1)), rng.normal(size=lead),
    )  # fmt: skip


def log_density(params, rows):
    """ln π of the actions `[T]`, and (a - μ) / σ `[T, 2]`."""
    z = (rows.action - rows.observation @ params["w"].T) / np.exp(params["s"])
    return (-(z**2) / 2 - params["s"] - np.log(2 * np.pi) / 2).sum(-1), z


def stepped(params, rows):
    """One step down -ln π Â, whose derivatives by W and by ln σ are written out."""
    z, weight = log_density(params, rows)[1], (rows.advantage * rows.mask / rows.mask.sum())[:, None]
    slope_w = -(weight * z / np.exp(params["s"])).T @ rows.observation
    slope_s = -(weight * (z**2 - 1)).sum(0)
    return {"w": params["w"] - RATE * slope_w, "s": params["s"] - RATE * slope_s}


def divergence(old, new, rows):
    """The mean of KL(π_old ‖ π_new): ln σ_new / σ_old + (σ_old² + (μ_old - μ_new)²) / 2 σ_new² - ½."""
    gap = rows.observation @ (old["w"] - new["w"]).T
    each = new["s"] - old["s"] + (np.exp(2 * old["s"]) + gap**2) / (2 * np.exp(2 * new["s"])) - 0.5
    return (each.sum(-1) * rows.mask).sum() / rows.mask.sum()


def by_hand(params, old, seen, after, exploration, kl_cost):
    """What E-MAML's credit, ProMP's penalty and PPO's surrogate are worth, each the mean over tasks."""
    credit = (after.gain - after.gain.mean()) / after.gain.std()
    total = np.zeros(3)
    for task in range(TASKS):
        now, then = params, old
        for k in range(STEPS):
            rows = jax.tree.map(lambda x, at=(k, task): x[at], seen)
            if k == 0:
                ratio = np.exp(log_density(params, rows)[0] - rows.log_prob)
                total[0] -= exploration * credit[task] * (ratio * rows.mask).sum() / rows.mask.sum()
            total[1] += kl_cost * divergence(then, now, rows)
            now, then = stepped(now, rows), stepped(then, rows)
        rows = jax.tree.map(lambda x, task=task: x[task], after)
        ratio = np.exp(log_density(now, rows)[0] - rows.log_prob)
        kept = np.minimum(ratio * rows.advantage, np.clip(ratio, 1 - CLIP, 1 + CLIP) * rows.advantage)
        total[2] -= (kept * rows.mask).sum() / rows.mask.sum()
    return total / TASKS


@pytest.mark.parametrize(("exploration", "kl_cost"), [(1.3, 0.0), (0.0, 0.7), (1.3, 0.7)])
def test_credit_and_penalty_have_the_values_and_slopes_that_they_have_by_hand(exploration, kl_cost):
    """E-MAML's credit for what was played first, and ProMP's KL(π_old ‖ π) before each of two steps."""
    rng = np.random.default_rng(0)
    old, aim = ({"w": rng.normal(size=(2, 2)), "s": 0.3 * rng.normal(size=2)} for _ in range(2))
    params = jax.tree.map(lambda a, b: a + 0.2 * b, old, aim)
    seen, after = made_up((STEPS, TASKS), 1), made_up((TASKS,), 2)
    single = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, None if x.dtype == bool else jnp.float32), tree)  # noqa: E731
    loss = objective(linear(), Inner(RATE, STEPS), Outer("ppo", 5, CLIP, kl_cost, exploration))
    of = jax.jit(jax.value_and_grad(lambda x: loss(x, *single((old, seen, after)))[0]))
    value, slope = of(single(params))
    parts = by_hand(params, old, seen, after, exploration, kl_cost)
    assert (abs(parts[:2]) > 0.02).tolist() == [exploration > 0, kl_cost > 0] and abs(parts[2]) > 0.02
    np.testing.assert_allclose(value, parts.sum(), rtol=1e-4)
    for name, place in (("w", (0, 1)), ("w", (1, 0)), ("s", (0,)), ("s", (1,))):
        moved = []
        for change in (-1e-5, 1e-5):
            other = {key: x.copy() for key, x in params.items()}
            other[name][place] += change
            moved.append(by_hand(other, old, seen, after, exploration, kl_cost).sum())
        np.testing.assert_allclose(slope[name][place], (moved[1] - moved[0]) / 2e-5, rtol=1e-3, atol=1e-4)


def test_an_agents_own_loss_stands_for_both_surrogates():
    """Cloning: squared errors of a linear policy, whose step and gradient through it are written out."""
    rng = np.random.default_rng(0)
    params = {"w": rng.normal(size=(2, 2)), "s": 0.3 * rng.normal(size=2)}
    seen, after = made_up((1, TASKS), 1), made_up((TASKS,), 2)
    single = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, None if x.dtype == bool else jnp.float32), tree)  # noqa: E731
    clone = lambda policy, rows: jnp.sum(jnp.square(policy.mean - rows.action), axis=-1)  # noqa: E731
    loss = objective(linear(), Inner(RATE, surrogate=clone), Outer(surrogate=clone))
    value, slope = jax.value_and_grad(lambda x: loss(x, *single((params, seen, after)))[0])(single(params))

    total, total_slope = 0.0, np.zeros((2, 2))
    for task in range(TASKS):
        rows, then = jax.tree.map(lambda x, task=task: x[0, task], seen), jax.tree.map(lambda x, t=task: x[t], after)
        share, share_after = (r.mask / r.mask.sum() for r in (rows, then))
        curvature = 2 * (rows.observation * share[:, None]).T @ rows.observation
        w = params["w"] - RATE * (params["w"] @ curvature - 2 * (rows.action * share[:, None]).T @ rows.observation)
        error = then.observation @ w.T - then.action
        total += (share_after * (error**2).sum(-1)).sum()
        total_slope += 2 * (error * share_after[:, None]).T @ then.observation @ (np.eye(2) - RATE * curvature)
    np.testing.assert_allclose(value, total / TASKS, rtol=1e-5)
    np.testing.assert_allclose(slope["w"], total_slope / TASKS, rtol=1e-4)
    np.testing.assert_array_equal(slope["s"], 0.0)


def test_the_loss_of_a2c_as_a_tasks_own_is_the_plain_surrogate_where_entropy_costs_nothing():
    def a2c(cost):
        each = lambda policy, rows: losses.policy_gradient(policy.log_prob(rows.action), rows.advantage)  # noqa: E731
        return lambda policy, rows: each(policy, rows) - cost * policy.entropy()

    _, state = begun()
    rows = jax.tree.map(lambda x: x[0], ROLLOUTS(window(), 0.99, 1.0))
    of = lambda loss: jax.grad(inner_loss(NETWORK, Inner(surrogate=loss)))(state.params, rows)  # noqa: E731
    jax.tree.map(np.testing.assert_array_equal, of(a2c(0.0)), of("plain"))
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), of(a2c(0.1)), of("plain"))
    assert max(jax.tree.leaves(moved)) > 0.05
    agent, state = begun(Inner(surrogate=a2c(0.1)), Outer(epochs=1))
    for seed in (1, 2):
        after, info = jax.jit(agent.update)(state, jax.random.key(0), Sample(window(seed)))
        state, before = after, state
    assert np.isfinite(info.metrics["loss"]) and float(info.metrics["gradient_norm"]) > 0
    assert not np.allclose(*(jax.flatten_util.ravel_pytree(s.params)[0] for s in (before, after)))


def test_trpo_keeps_its_bound():
    agent, state = begun(Inner(), Outer("trpo"))
    update = jax.jit(agent.update)
    state, _ = update(state, jax.random.key(0), Sample(window(1)))
    after, info = update(state, jax.random.key(0), Sample(window(2)))
    assert 0 < float(info.metrics["kl"]) <= 0.01 and float(info.metrics["fraction"]) > 0
    assert not np.allclose(*(jax.flatten_util.ravel_pytree(s.params)[0] for s in (state, after)))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "bellmax/catch"], "--env bellmax/catch: must be a distribution of tasks"),
        (
            ["--agent.rollouts", "3"],
            "--env-options: a task stays for 40 episodes; --agent.rollouts 3 x .* say episodes=6",
        ),
        (["--agent.inner-steps", "0"], "--agent.inner-steps 0: must be at least 1"),
        (["--agent.inner-rate", "0"], "--agent.inner-rate 0.0: must be above 0"),
    ],
)
def test_refusals(words, message):
    with pytest.raises(ValueError, match=message):
        config = flags.parse(command.Flags, words, "maml")
        flags.check(config)
        command.check(config.agent, prepare.environment(config).spec, prepare.size_of(config))


def in_halves(f):
    """A function of one device on two of them, each with half of the lanes, compiled."""
    return jax.jit(jax.vmap(f, axis_name=parallel.AXIS))


def of_halves(agent, windows):
    """States and metrics of updates on pairs of windows, of two devices and of one with all lanes."""
    key = jax.random.key(0)
    both = [jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), *pair) for pair in windows]
    apart = [jax.tree.map(lambda a, b: jnp.stack([a, b]), *pair) for pair in windows]
    first = [jax.tree.map(lambda x, i=i: x[i], w.timestep) for i, w in ((0, both[0]), (np.s_[:, 0], apart[0]))]
    whole = agent.init(key, first[0])
    halves = jax.vmap(lambda timestep: agent.init(key, timestep), axis_name=parallel.AXIS)(first[1])
    update = jax.jit(lambda state, steps: agent.update(state, key, Sample(steps)))
    update_halves = in_halves(lambda state, steps: agent.update(state, key, Sample(steps)))
    for one, two in zip(both, apart, strict=True):
        (whole, of_whole), (halves, of_both) = update(whole, one), update_halves(halves, two)
        yield whole, of_whole.metrics, halves, of_both.metrics


STEADY = Region(0.01, damping=1.0, iterations=4)
"""A step that a rounding changes little."""


@pytest.mark.parametrize("outer", [Outer(epochs=2, exploration=1.0, kl_cost=0.1), Outer("trpo", region=STEADY)])
def test_two_devices_with_half_of_the_tasks_each_learn_what_one_learns_from_all(outer):
    agent, _ = begun(outer=outer)
    windows = [(window(seed), window(seed + 10)) for seed in (1, 2, 3)]
    for whole, told, halves, of_both in of_halves(agent, windows):
        jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[1]), (halves.params, of_both))
        first = lambda tree: jax.tree.map(lambda x: x[0], tree)  # noqa: E731
        close(first(halves.params), whole.params, rtol=1e-4, atol=1e-5)
        close(first(of_both), told, rtol=1e-3, atol=1e-5)
        close(jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), halves.adapted), whole.adapted, rtol=1e-4, atol=1e-5)
