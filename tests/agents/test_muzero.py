"""MuZero and AlphaZero: what is learned, against plain numpy; the search on games; the rules as a model."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents import losses
from agents.base import FIRST, LAST, MID, Agent, Sample, Step, TimeStep
from agents.common import optimisers
from agents.muzero import muzero
from agents.world import latent
from agents.world.latent import Latent, Search, Stepped
from envs import keys
from envs.tasks import board
from envs.tasks.board import connect_four, tic_tac_toe
from experiments.studies.search_improvement import improved
from tests.losses.test_models import log_softmax
from tests.losses.test_planning import ATOMS as NUMBERS
from tests.losses.test_planning import reference_loss, reference_mean

ATOMS, PAIR = jnp.asarray(NUMBERS, jnp.float32), losses.SIGNED_HYPERBOLIC_PAIR
RNG = np.random.default_rng(1)
ACTIONS, WIDTH, LANES, DEPTH, N_STEP = 3, 4, 5, 2, 2
PARAMS = {
    "start": RNG.normal(size=(2, WIDTH)),
    "step": RNG.normal(size=(WIDTH + ACTIONS, WIDTH)),
    "reward": RNG.normal(size=(WIDTH + ACTIONS, 7)),
    "policy": RNG.normal(size=(WIDTH, ACTIONS)),
    "value": RNG.normal(size=(WIDTH, 7)),
}
FLOAT = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), PARAMS)


def linear() -> Latent:
    """A model of matrices and tanh."""

    def step(p: Any, s: Any, action: Any) -> Stepped:
        x = jnp.concatenate([s, jax.nn.one_hot(action, ACTIONS)], -1)
        logits = x @ p["reward"]
        reward = losses.support_mean(logits, ATOMS, PAIR)
        return Stepped(jnp.tanh(x @ p["step"]), reward, jnp.ones(len(reward)), logits)

    return Latent(
        lambda key, observation: FLOAT,
        lambda p, observation: jnp.tanh(observation @ p["start"]),
        step,
        lambda p, s: (s @ p["policy"], s @ p["value"]),
    )


def rows() -> Step:
    """Windows that go on, terminate, are truncated, break off, and begin with a LAST row."""
    kinds = np.array([[MID] * 5, [MID, LAST, FIRST, MID, MID], [FIRST, LAST, FIRST, MID, MID],
                      [MID, MID, FIRST, MID, MID], [LAST, FIRST, MID, MID, LAST]], np.int8).T  # fmt: skip
    ends = np.ones((5, LANES))
    ends[1, 1] = ends[0, 4] = 0.0
    shape = (5, LANES)
    policy = RNG.dirichlet(np.ones(ACTIONS), size=shape)
    extras = {"policy": policy, "value": RNG.normal(size=shape)}
    timestep = TimeStep(kinds, RNG.normal(size=shape), ends, RNG.normal(size=(*shape, 2)))
    made = Step(timestep, RNG.integers(ACTIONS, size=shape), extras)
    return jax.tree.map(lambda x: jnp.asarray(x, jnp.float32) if x.dtype == np.float64 else jnp.asarray(x), made)


STEPS = rows()


def agent(**settings: Any) -> Agent:
    chain = optimisers.chain(optax.sgd(1.0))
    made = {"depth": DEPTH, "n_step": N_STEP, "discount": 0.9, "search": Search(3), **settings}
    return muzero(linear(), chain, atoms=ATOMS, **made)


def expected(steps: Any, gamma: float, weight: Any) -> dict[str, float]:
    """The three losses, row by row as the paper has them."""
    p, x = PARAMS, jax.tree.map(lambda x: np.asarray(x, np.float64), steps)
    kind, reward, ends, seen = x.timestep
    total = {"policy_loss": 0.0, "value_loss": 0.0, "reward_loss": 0.0}
    for i in range(LANES):
        state, terminated, known = np.tanh(seen[0, i] @ p["start"]), False, True
        for k in range(DEPTH + 1):
            share = weight[i] / LANES * (1.0 if k == 0 else 1 / DEPTH)
            if k:
                inputs = np.concatenate([state, np.eye(ACTIONS)[int(x.action[k - 1, i])]])
                state = np.tanh(inputs @ p["step"])
                broke = kind[k, i] == FIRST and not terminated
                known &= not broke
                if known:
                    target = 0.0 if terminated else reward[k, i]
                    total["reward_loss"] += share * reference_loss((inputs @ p["reward"])[None], np.array([target]))[0]
            running = known and not terminated and kind[k, i] != LAST
            ended = kind[k, i] == LAST and not terminated
            terminated |= bool(ended and ends[k, i] == 0)
            if running:
                target, factor = 0.0, 1.0
                for j in range(k + 1, k + N_STEP + 1):
                    if kind[j, i] == FIRST:
                        target += factor * x.extras["value"][j - 1, i] if j > k + 1 else 0.0
                        factor = 0.0
                        break
                    target += factor * reward[j, i]
                    factor *= gamma * ends[j, i]
                    if kind[j, i] == LAST:
                        break
                target += factor * x.extras["value"][j, i]
                total["policy_loss"] -= share * (x.extras["policy"][k, i] * log_softmax(state @ p["policy"])).sum()
            breaks = running and kind[k + 1, i] == FIRST
            if (running and not breaks) or terminated:
                target = target if running else 0.0
                total["value_loss"] += share * reference_loss((state @ p["value"])[None], np.array([target]))[0]
            known &= not (ended and ends[k, i] != 0)
    return total


@pytest.mark.parametrize("turns", [False, True])
def test_losses_are_the_papers(turns: bool) -> None:
    made = agent(turns=turns)
    weight = jnp.array([1.0, 0.5, 2.0, 1.0, 0.3])
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS.timestep))
    _, info = jax.jit(made.update)(state, keys.key(1), Sample(STEPS, weight=weight))
    told = expected(STEPS, -0.9 if turns else 0.9, np.asarray(weight))
    for name, value in told.items():
        np.testing.assert_allclose(info.metrics[name], value, rtol=1e-4, err_msg=name)
    total = told["policy_loss"] + 0.25 * told["value_loss"] + told["reward_loss"]
    np.testing.assert_allclose(info.metrics["loss"], total, rtol=1e-4)
    assert (np.asarray(info.priority)[[4]] == 0).all() and (np.asarray(info.priority)[:3] > 0).all()


def test_half_of_the_gradient_goes_through_each_step() -> None:
    """A model whose step changes nothing: the first state hears of step k with (1/2)^k / K."""
    still = Latent(
        lambda key, observation: {"s": jnp.zeros(1)},
        lambda p, observation: jnp.broadcast_to(p["s"][None], (observation.shape[0], 1)),
        lambda p, s, action: Stepped(s, s[:, 0], jnp.ones(s.shape[0]), jnp.zeros((s.shape[0], 7))),
        lambda p, s: (s * jnp.arange(3.0)[None], jnp.zeros((s.shape[0], 7))),
    )
    made = muzero(still, optimisers.chain(optax.sgd(1.0)), atoms=ATOMS, depth=2, n_step=2, search=Search(2))
    steps = jax.tree.map(lambda x: x[:, :1], STEPS)
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    after, _ = made.update(state, keys.key(0), Sample(steps))
    pulls = [1.0 - float(steps.extras["policy"][k, 0] @ np.arange(3.0)) for k in range(3)]
    wanted = pulls[0] + 0.5 * (0.5 * pulls[1] + 0.25 * pulls[2])
    np.testing.assert_allclose(-after.params["s"][0], wanted, rtol=1e-5)


def test_reanalyse_learns_what_is_found_today() -> None:
    made, told = agent(reanalyse=True), []
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS.timestep))
    update = jax.jit(made.update)
    for way, scale in ((1, 1.0), (-1, 100.0)):
        extras = {"policy": STEPS.extras["policy"][..., ::way], "value": scale * STEPS.extras["value"]}
        told.append(update(state, keys.key(1), Sample(STEPS._replace(extras=extras)))[1].metrics)
    np.testing.assert_array_equal(told[0]["loss"], told[1]["loss"])
    fresh = reference_mean(np.tanh(np.asarray(STEPS.timestep.observation) @ PARAMS["start"]) @ PARAMS["value"])
    as_found = STEPS._replace(extras={"policy": STEPS.extras["policy"], "value": jnp.asarray(fresh, jnp.float32)})
    plain = jax.jit(agent().update)(state, keys.key(1), Sample(as_found))[1].metrics
    np.testing.assert_allclose(plain["value_loss"], told[0]["value_loss"], rtol=1e-4)
    assert plain["policy_loss"] != told[0]["policy_loss"]


def test_without_improvement_the_policy_learns_itself() -> None:
    made = agent(improve=False)
    timestep = jax.tree.map(lambda x: x[0], STEPS.timestep)
    _, _, extras = made.act(FLOAT, keys.key(0), (), timestep, True)
    prior = np.tanh(np.asarray(timestep.observation) @ PARAMS["start"]) @ PARAMS["policy"]
    np.testing.assert_allclose(extras["policy"], np.exp(log_softmax(prior)), rtol=1e-4)


def by_the_rules(task: Any, **settings: Any) -> tuple[Agent, Any]:
    """AlphaZero that knows nothing but the rules, and its parameters."""
    actions, atoms = task.spec.action.num, jnp.arange(-1.0, 2.0)
    network = networks.q_network(
        networks.Torso(task.spec.observation, (4,), cnn=None), networks.PolicyValue(actions, 3)
    )
    model = latent.exact(task.spec.rules, network)
    made = muzero(
        model, optimisers.adam(1e-3), atoms=atoms, depth=0, n_step=9, discount=1.0, turns=True,
        legal=task.spec.rules.legal, tx_pair=losses.IDENTITY_PAIR, **settings,
    )  # fmt: skip
    return made, model.init(keys.key(0), jnp.zeros((1, *task.spec.observation.shape)))


def shown(*boards: Any) -> TimeStep:
    seen = jnp.stack([board.observe(jnp.array(cells, jnp.int8)) for cells in boards])
    lanes = len(boards)
    return TimeStep(jnp.full(lanes, MID, jnp.int8), jnp.zeros(lanes), jnp.ones(lanes), seen)


WIN = [[1, 1, 0], [-1, -1, 0], [0, 0, 0]]  # at 2, rather than block at 5
BLOCK = [[1, 0, 0], [-1, -1, 0], [0, 0, 1]]  # at 5, and nowhere else
FORK = [[1, -1, 0], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("gumbel", [True, False])
def test_a_search_by_the_rules_wins_and_blocks(gumbel: bool) -> None:
    made, params = by_the_rules(tic_tac_toe(), search=Search(128, gumbel, value_scale=1.0))
    act = jax.jit(lambda key, seen, explore: made.act(params, key, (), seen, explore), static_argnums=2)
    action, _, extras = act(keys.key(0), shown(WIN, BLOCK, FORK), False)
    assert action[0] == 2 and action[1] == 5
    assert extras["value"][0] > 0.5 and (extras["policy"][2, :2] == 0).all()
    for seed in range(4):
        explored = act(keys.key(seed), shown(WIN, BLOCK, FORK), True)[0]
        assert explored[2] >= 2, "taken cells are never chosen"


def test_alphazero_learns_the_end_of_the_game_for_both_sides() -> None:
    """Of a game that the mover wins at its end, every second row is a win and the others are losses."""
    made, params = by_the_rules(tic_tac_toe(), search=Search(2))
    moves = [0, 3, 1, 4, 2]
    cells, seen = jnp.zeros((3, 3), jnp.int8), []
    for move in [*moves, None]:
        seen.append(board.observe(cells))
        cells = cells if move is None else -cells.at[move // 3, move % 3].set(1)
    kinds, rewards, ends = [FIRST, *[MID] * 4, LAST], [0.0] * 5 + [1.0], [1.0] * 5 + [0.0]
    padded = [*seen, *[seen[0]] * 4]
    timestep = TimeStep(
        jnp.array([*kinds, FIRST, MID, MID, MID], jnp.int8)[:, None], jnp.array([*rewards, 0, 0, 0, 0])[:, None],
        jnp.array([*ends, 1, 1, 1, 1])[:, None], jnp.stack(padded)[:, None],
    )  # fmt: skip
    policy = jnp.full((10, 1, 9), 1 / 9)
    for begin, value in ((0, 1.0), (1, -1.0), (4, 1.0)):
        window = jax.tree.map(lambda x, b=begin: jnp.roll(x, -b, 0), timestep)
        steps = Step(window, jnp.zeros((10, 1), jnp.int32), {"policy": policy, "value": jnp.zeros((10, 1))})
        state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], window))._replace(params=params)
        _, info = made.update(state, keys.key(0), Sample(steps))
        np.testing.assert_allclose(info.priority[0], abs(value), atol=1e-6)
        found = -jnp.log(1 / 3)  # of equal logits, whichever of three outcomes it is
        np.testing.assert_allclose(info.metrics["value_loss"], found, rtol=1e-5)


def test_a_full_column_is_not_searched() -> None:
    made, params = by_the_rules(connect_four(), search=Search(8))
    cells = np.zeros((6, 7), int)
    cells[:, :6] = np.resize([1, -1, -1, 1], (6, 6))
    action, _, extras = made.act(params, keys.key(0), (), shown(cells), True)
    assert action[0] == 6 and extras["policy"][0, 6] == 1


def test_gumbel_improves_every_policy_with_as_few_as_two_simulations() -> None:
    small = {"problems": 32, "draws": 128}
    assert (improved([0], (2, 4, 8, 16), **small) == 1).all()
    assert (improved([0], (2,), gumbel=False, **small) < 1).all()
