"""What rewards are multiplied by so that the returns of a dataset span 1000."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import replay
from experiments import iql
from experiments.parts import offline
from experiments.run import Size
from replay import dataset
from tests.sets import drawn

SPEC = envs.make("bellmax/pendulum").spec


@pytest.mark.parametrize(
    ("returns", "spans"),
    [
        ([90.0, 10.0], 80.0),  # further apart than a twentieth of the largest, as in sets of several players
        ([100.0, 95.0], 5.0),  # just as far
        ([3000.0, 2999.5], 150.0),  # an expert's
        ([-99.0, -100.0], 5.0),
        ([40.0, -60.0], 100.0),
        ([7.0], 0.35),
        ([0.0, 0.0], 0.0),
    ],
)
def test_returns_that_are_almost_equal_span_a_twentieth_of_the_largest(returns: list[float], spans: float) -> None:
    assert offline.span(np.array(returns)) == pytest.approx(spans)


@pytest.mark.parametrize(("returns", "factor"), [((2.0, -2.0), 250.0), ((100.0, 99.0), 200.0), ((0.0, 0.0), 1.0)])
def test_rewards_are_learned_from_as_the_returns_span_a_thousand(returns: tuple[float, float], factor: float) -> None:
    data = drawn(SPEC, episodes=2)
    reward = np.where(data.rows.timestep.step_type == 0, 0.0, np.repeat(returns, 10) / 9).astype(np.float32)
    rows = data.rows._replace(timestep=data.rows.timestep._replace(reward=reward))
    data = dataset.of(rows)
    config = iql.Config(span_returns=True, reward_scale=0.5, hidden=(4,), batch_size=32)
    memory = iql.make(config, SPEC, Size(1, 1, 10, dataset.facts(data))).replay
    lent = jax.tree.map(jnp.asarray, replay.arrays(data))
    state = memory.init(jax.tree.map(lambda x: x[:1], data.rows))._replace(data=lent)
    sample = memory.sample(state, jax.random.key(0))
    expected = 0.5 * factor * reward[np.asarray(sample.index) + 1]
    np.testing.assert_allclose(sample.steps.timestep.reward[1], expected, rtol=1e-5)
