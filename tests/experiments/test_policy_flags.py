"""What flags that the actor-critics share build: clipped rewards, the optimiser's ε, activations."""

from importlib import import_module
from pathlib import Path
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import Sample
from envs import keys
from experiments.drivers import in_graph
from experiments.parts import actor_critics
from experiments.run import plans
from tests.experiments.running import evaluations, succeed

LANES = 2
SMALL: dict[str, Any] = {"unroll": 4, "hidden": (8,)}
REPLAYED = {"buffer_size": 100, "replayed": 2}
OF: dict[str, dict[str, Any]] = {
    "a2c": {},
    "acer": REPLAYED,
    "unreal": REPLAYED,
    "impala": {},
    "acktr": {},
    "ppo": {"minibatches": 1},
}
# The last three are wrapped where A2C is.
EACH = [pytest.param(name, marks=[pytest.mark.slow] * (i > 2)) for i, name in enumerate(OF)]


@pytest.mark.parametrize("experiment", EACH)
def test_clipped_rewards_are_what_is_learned_from(experiment: str) -> None:
    """A reward of 7 teaches what one of 1 does; without the flag it does not."""
    module, env = import_module(f"experiments.{experiment}"), envs.make("bellmax/pixel-catch", size=4)

    def learned(clip: bool, *rewards: float) -> Any:
        config = module.Config(**SMALL, **OF[experiment], cnn="none", clip_rewards=clip)
        parts = module.make(config, env.spec, plans.Size(LANES, 1, 10_000))
        loop = in_graph.loop(env, *parts, num_envs=LANES, iterations=1)

        def train(reward: Any) -> Any:
            run = loop.init(keys.key(0))
            like = jax.eval_shape(lambda key: parts.replay.sample(run.replay, key).steps, keys.key(1))
            steps = jax.tree.map(lambda x: jax.random.uniform(keys.key(3), x.shape, maxval=2).astype(x.dtype), like)
            sign = jax.random.rademacher(keys.key(4), like.timestep.reward.shape, jnp.float32)
            steps = steps._replace(timestep=steps.timestep._replace(reward=reward * sign))
            return parts.agent.update(run.agent, keys.key(2), Sample(steps))[0].params

        return jax.jit(jax.vmap(train))(jnp.asarray(rewards))

    pick = lambda tree, i: jax.tree.map(lambda x: np.asarray(x)[i], tree)  # noqa: E731
    clipped, plain = learned(True, 1.0, 7.0), learned(False, 1.0, 7.0)
    chex.assert_trees_all_equal(pick(clipped, 0), pick(clipped, 1))
    assert any(np.any(x[0] != x[1]) for x in jax.tree.leaves(jax.tree.map(np.asarray, plain)))


def test_epsilon_reaches_either_optimiser() -> None:
    for name in ("adam", "rmsprop"):
        make = lambda eps, name=name: actor_critics.optimiser(  # noqa: E731
            actor_critics.Descent(optimiser=name, optimiser_eps=eps, learning_rate=1.0, anneal=False), 1
        )
        (small, _), (large, _) = (make(eps).update(jnp.ones(1), make(eps).init(jnp.ones(1))) for eps in (1e-5, 1e3))
        assert abs(float(large[0])) < 0.1 * abs(float(small[0])), name


def test_activation_is_that_of_the_dense_layers() -> None:
    """With ReLU a dense layer is homogeneous: values of twice the observation are twice as large, biases being 0."""
    spec, first = envs.make("bellmax/catch").spec, jnp.ones((1, 1), bool)
    seen = jax.random.normal(keys.key(0), (1, 1, *spec.observation.shape))
    for build in (actor_critics.network, actor_critics.critic_of_actions):
        for activation, homogeneous in (("relu", True), ("tanh", False)):
            network = build(actor_critics.Layers(hidden=(8,), activation=activation), spec)
            params = network.init(keys.key(1), seen[0])
            once, twice = (network.apply(params, None, (), x, first)[0][1] for x in (seen, 2 * seen))
            assert np.allclose(2 * once, twice, rtol=1e-4) == homogeneous, activation


def test_fresh_and_replayed_windows_are_learned_from_around_a_simulator(tmp_path: Path) -> None:
    """Also the rows that a run begins with come with the one that the next unroll opens with."""
    words = "--env envpool/CartPole-v1 --num-envs 2 --steps 400 --eval-episodes 1 --quiet --agent.hidden 8"
    succeed("acer", *words.split(), "--agent.buffer-size", 100, "--agent.replayed", 2, "--out", tmp_path / "run")
    assert evaluations(tmp_path / "run")[1][-1] >= 400


@pytest.mark.parametrize(
    ("experiment", "words", "message"),
    [
        ("q_prop", "--agent.backtracks 0", "--agent.backtracks 0: must be at least 1"),
        ("q_prop", "--agent.q-epochs 0", "--agent.q-epochs 0: must be at least 1"),
        ("sac", "--agent.temperature 0", "--agent.temperature 0.0: must be above 0"),
    ],
)
def test_numbers_that_mean_nothing_are_refused(experiment: str, words: str, message: str, capsys: Any) -> None:
    with pytest.raises(SystemExit) as stopped:
        import_module(f"experiments.{experiment}").main(words.split())
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


def test_q_prop_is_built_without_convolutions() -> None:
    module, env = import_module("experiments.q_prop"), envs.make("bellmax/pendulum")
    config = module.Config(unroll=8, minibatches=1, q_minibatches=1, replayed=2, cnn="none")
    parts = module.make(config, env.spec, plans.Size(LANES, 1, 1_000))
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), LANES))
    assert jax.eval_shape(parts.agent.init, keys.key(0), timestep).params
