"""Temporal difference models: the horizon that counts down, what targets rest on, planning, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.ddpg import Params
from agents.tdm import Reach, tdm
from envs import keys
from envs.base import Box
from experiments import tdm as command
from experiments.run import plans
from networks.base import Network

SPACE = Box((1,), -10.0, 10.0)
ACTIONS = jnp.array([-1.0, 0.0, 1.0])
CHAINS = Params(optimisers.adam(1e-3), optimisers.adam(1e-3))


def perfect(horizon: int) -> Network:
    """f of the integer line: as near to the goal as one gets after the action; its one parameter is added to it."""

    def apply(params, key, carry, seen, first):
        tau = seen["horizon"] * horizon
        there = seen["observation"] + ACTIONS[(None,) * (first.ndim)]
        near = there + jnp.clip(seen["desired_goal"] - there, -tau, tau)
        return near[..., None] + params, carry

    return Network(lambda key, seen: jnp.zeros(()), apply, lambda batch: ())


def rows(place, goal, kind=None, discount=None):
    """Rows `[T, N]` or `[N]` of the line."""
    place, goal = (jnp.asarray(x, jnp.float32)[..., None] for x in (place, goal))
    shape = place.shape[:-1]
    kind = jnp.full(shape, MID, jnp.int8) if kind is None else jnp.asarray(kind, jnp.int8)
    discount = jnp.ones(shape) if discount is None else jnp.asarray(discount, jnp.float32)
    seen = {"observation": place, "achieved_goal": place, "desired_goal": goal}
    return TimeStep(kind, jnp.zeros(shape), discount, seen)


def made(horizon=3, **settings):
    return tdm(perfect(horizon), None, CHAINS, SPACE, horizon=horizon, **settings)


def test_the_horizon_counts_down_and_begins_anew():
    agent, found = made(2), []
    state = agent.init(keys.key(0), rows([0.0, 0.0], [5.0, 5.0]))
    carry = agent.begin(2)
    for kind in ([FIRST, FIRST], [MID, MID], [MID, LAST], [MID, FIRST], [MID, MID]):
        _, carry, _ = agent.act(agent.actor(state), keys.key(0), carry, rows([0.0, 0.0], [5.0, 5.0], kind), True)
        found.append(carry.horizon.tolist())
    assert found == [[2, 2], [1, 1], [0, 0], [2, 2], [1, 1]]


def test_exact_values_are_a_fixed_point():
    """On every transition of the line, whatever horizon is drawn; not if paid always or never counted down."""
    place = jnp.arange(-4.0, 5.0).repeat(3)
    action = jnp.tile(jnp.arange(3), 9)
    goal = jnp.asarray(np.random.default_rng(0).integers(-4, 5, 27), jnp.float32)
    window = rows(jnp.stack([place, place + action - 1.0]), jnp.stack([goal, goal]))
    sample = Sample(Step(window, jnp.stack([action, action])))
    for settings, least, most in (({}, 0.0, 1e-6), ({"pay": "always"}, 1.0, 20.0), ({"countdown": False}, 0.1, 5.0)):
        agent = made(3, **settings)
        state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], window))
        _, info = jax.jit(agent.update)(state, keys.key(1), sample)
        assert least <= float(info.metrics["td_error"]) <= most


def test_a_termination_is_the_end_of_every_horizon():
    """Before the end the distance there counts, though more steps were left to come nearer."""
    window = rows([[0.0], [1.0]], [[3.0], [3.0]], [[MID], [LAST]], [[1.0], [0.0]])
    agent = made(3)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], window))
    sample = Sample(Step(window, jnp.full((2, 1), 2)))
    update = jax.jit(agent.update)
    for seed in range(4):
        tau = int(jax.random.randint(keys.key(seed), (1, 1), 0, 4)[0, 0])
        _, info = update(state, keys.key(seed), sample)
        assert float(info.metrics["td_error"]) == min(tau, 2)


def test_actions_are_best_by_what_they_lead_to():
    agent = made(0)
    state = agent.init(keys.key(0), rows([0.0, 0.0, 0.0], [5.0, 0.0, -5.0]))
    timestep = rows([0.0, 0.0, 0.0], [5.0, 0.0, -5.0])
    action, _, _ = agent.act(agent.actor(state), keys.key(0), agent.begin(3), timestep, False)
    assert action.tolist() == [2, 1, 0]


def test_planning_pursues_the_goal_whose_end_pays_most():
    """The task pays for being near -g: no goal that it names itself would lead there."""
    agent = made(1, plan=64, worth=lambda reached, desired: -jnp.abs(reached + desired)[..., 0])
    timestep = rows([0.0, 0.0], [6.0, -6.0], [FIRST, FIRST])
    state = agent.init(keys.key(0), timestep)
    action, _, _ = agent.act(agent.actor(state), keys.key(1), agent.begin(2), timestep, False)
    assert action.tolist() == [0, 2]
    with pytest.raises(ValueError, match="plan is 3; planning needs"):
        made(1, plan=3)


def test_values_are_distances_from_what_is_reached_or_what_the_network_says():
    row = jax.tree.map(lambda x: x[None], rows([0.0], [5.0]))
    for structured, expected in ((True, [-4.0, -3.0, -2.0]), (False, [1.0, 2.0, 3.0])):
        reach = Reach(perfect(2), 2, structured)
        seen = reach.seen(row, row.observation["desired_goal"], jnp.full((1, 1), 2))
        told, q = reach.values(jnp.zeros(()), seen)
        assert told[0, 0, :, 0].tolist() == [1.0, 2.0, 3.0] and q[0, 0, :, 0].tolist() == expected


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"env": "bellmax/catch"}, "tdm needs a task with goals that are vectors"),
        ({"env": "bellmax/four-rooms"}, "tdm needs a task with goals that are vectors"),
        ({"agent": {"plan": 2}, "env": "bellmax/drifting-worker"}, "--agent.plan 2: goals are drawn within bounds"),
    ],
)
def test_refusals(words, told):
    from experiments.run import prepare

    config = command.experiment.configured(**words)
    with pytest.raises(ValueError, match=told):
        command.check(config.agent, prepare.environment(config).spec, plans.Size(4, 1, 1000))
