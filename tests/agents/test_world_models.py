"""World Models: what the controller reads, what it dreams, and its stages."""

from dataclasses import replace
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import networks
from agents import world_models
from agents.base import FIRST, MID, Agent, Info, Step, TimeStep
from agents.common import optimisers
from agents.world_models import Parts, State
from envs.base import Box, Discrete
from experiments import world_models as command
from experiments.parts import dream_learning
from experiments.reports import evidence
from networks.predictor import modalities
from networks.world import VAE, MixtureMemory, standardised
from tests.experiments.running import call, succeed

Z, H, LANES, ROWS = 2, 5, 3, 6
ACTIONS = Discrete(2)


@cache
def world() -> Parts:
    vision, memory = VAE(modalities(Box((3,))), Z, 8, 1), MixtureMemory(Z, H, 2)
    params = jax.jit(lambda: world_models.fresh(vision, memory, ACTIONS, jax.random.key(0), jnp.zeros((1, 3))))()
    return Parts(vision, memory, params)


def timesteps() -> TimeStep:
    kinds = np.full((ROWS, LANES), MID, np.int8)
    kinds[0], kinds[3, 1] = FIRST, FIRST
    rng = np.random.default_rng(0)
    reward = rng.normal(size=(ROWS, LANES))
    return TimeStep(
        jnp.asarray(kinds), jnp.float32(reward), jnp.ones((ROWS, LANES)), jnp.float32(rng.normal(size=(ROWS, LANES, 3)))
    )


def shown(blind: bool) -> tuple[np.ndarray, np.ndarray]:
    """What an agent is shown `[ROWS, LANES, F]` of those rows, and its actions: 1 where the first is positive."""

    def act(actor: Any, key: Any, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Any, Any, Any]:
        return (timestep.observation[:, 0] > 0).astype(jnp.int32), carry, {"shown": timestep.observation}

    bare = Agent(lambda key, timestep: (), lambda s: s, lambda lanes: (), act, lambda s, k, x: (s, Info({})))
    agent = world_models.remembering(bare, world(), ACTIONS, blind)

    def step(carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
        action, carry, extras = agent.act((), jax.random.key(0), carry, timestep, True)
        return carry, (extras["shown"], action)

    _, (seen, taken) = jax.jit(lambda rows: jax.lax.scan(step, agent.begin(LANES), rows))(timesteps())
    return np.asarray(seen), np.asarray(taken)


def test_the_controller_reads_z_and_what_the_memory_made_of_the_rows_before() -> None:
    seen, taken = shown(False)
    rows, it = timesteps(), world()
    z = world_models.call(it.vision, it.params["vision"], rows.observation.reshape((-1, 3)), method="encode").mean
    z = np.asarray(z).reshape((ROWS, LANES, Z))
    np.testing.assert_allclose(seen[..., :Z], z, atol=1e-5)
    assert (seen[0, :, Z:] == 0).all() and (seen[3, 1, Z:] == 0).all() and (seen[3, 0, Z:] != 0).all()
    begun = it.memory.begin(LANES)
    given = (jnp.asarray(z[:3]), jax.nn.one_hot(taken[:3], 2), jnp.zeros((3, LANES), bool))
    (_, h), _ = world_models.call(it.memory, it.params["memory"], begun, *given)
    np.testing.assert_allclose(seen[3, 0, Z:], h[0], atol=1e-5)
    assert shown(True)[0].shape == (ROWS, LANES, Z)


def test_vision_tells_small_numbers_beside_large_ones() -> None:
    """A sine beside a place forty times as far: what is read back misses either by less than a fifth of its spread."""
    vision = VAE(modalities(Box((2,))), 4, 32, 1)
    key = jax.random.key(0)
    rows = jnp.stack([30 * jax.random.normal(key, (4096,)), jnp.sin(jax.random.uniform(key, (4096,), maxval=9.0))], 1)
    params = jax.jit(lambda: vision.init(key, rows, method="whole")["params"])()
    params = standardised(vision, params, rows)
    np.testing.assert_allclose(params["mean_observation"], rows.mean(0), rtol=1e-4)
    chain = optimisers.adam(3e-3)

    def once(state: State, key: Any) -> tuple[State, Any]:
        k_rows, k_loss = jax.random.split(key)
        batch = jax.random.choice(k_rows, rows, (128,))
        loss = lambda params: world_models.vision_loss(vision, params, k_loss, batch)  # noqa: E731
        return world_models.descended(loss, chain, state)

    run = jax.jit(lambda s, k: jax.lax.scan(once, s, k))
    state, _ = run(State(params, chain.init(params)), jax.random.split(key, 1500))
    np.testing.assert_array_equal(state.params["std_observation"], params["std_observation"])
    z = world_models.call(vision, state.params, rows, method="encode").sample(key)
    made = world_models.call(vision, state.params, z, method="decode")["observation"]
    missed = jnp.std(made - world_models.call(vision, state.params, rows, method="scaled")["observation"], axis=0)
    assert (missed < 0.2).all(), missed


def test_ends_weigh_more_in_the_memory_s_loss() -> None:
    it, rows = world(), timesteps()
    over = rows._replace(discount=rows.discount.at[2, 0].set(0.0))

    @jax.jit
    def loss(weight: Any) -> Any:
        steps = Step(over, jnp.zeros((ROWS, LANES), jnp.int32))
        given = (ACTIONS, jax.random.key(0), steps, weight)
        return world_models.memory_loss(it.vision, it.params["vision"], it.memory, it.params["memory"], *given)[1]

    ends = [float(loss(weight)["end_loss"]) for weight in (0.0, 1.0, 10.0)]
    np.testing.assert_allclose(ends[2] - ends[0], 10 * (ends[1] - ends[0]), rtol=1e-4)
    assert ends[1] > ends[0]


def test_vision_and_memory_learn() -> None:
    it, chain = world(), optimisers.adam(1e-2)
    rows = timesteps()
    steps = Step(rows, jnp.zeros((ROWS, LANES), jnp.int32))

    def seen(params: Any, key: Any) -> Any:
        return world_models.vision_loss(it.vision, params, key, rows.observation.reshape((-1, 3)))

    def told(params: Any, key: Any) -> Any:
        return world_models.memory_loss(it.vision, it.params["vision"], it.memory, params, ACTIONS, key, steps)

    for loss, name in ((seen, "vision"), (told, "memory")):
        begun = State(it.params[name], chain.init(it.params[name]))

        def once(state: Any, key: Any, loss: Any = loss) -> Any:
            return world_models.descended(lambda p: loss(p, key), chain, state)

        run = jax.jit(lambda s, k, once=once: jax.lax.scan(once, s, k))
        metrics = run(begun, jax.random.split(jax.random.key(1), 100))[1]
        values = np.asarray(metrics[f"{name}_loss"])
        assert values[-10:].mean() < values[:10].mean()


def test_the_memory_s_loss_leaves_out_what_joins_two_episodes() -> None:
    it, rows = world(), timesteps()
    steps = Step(rows, jnp.zeros((ROWS, LANES), jnp.int32))
    loss = jax.jit(
        lambda steps: world_models.memory_loss(
            it.vision, it.params["vision"], it.memory, it.params["memory"], ACTIONS, jax.random.key(0), steps
        )[0]
    )
    paid = lambda t, lane: steps._replace(timestep=rows._replace(reward=rows.reward.at[t, lane].add(9.0)))  # noqa: E731
    assert loss(paid(3, 1)) == loss(steps) and loss(paid(3, 0)) != loss(steps)


def test_dreams_end_where_the_memory_says_so_and_pay_what_it_says() -> None:
    it = world()
    rest = {"kernel": jnp.zeros((H, 2)), "bias": jnp.array([0.5, 9.0])}
    policy = networks.q_network(networks.Torso(Box((Z + H,)), (), None), networks.QValues(2))
    zeros, unravel = ravel_pytree(policy.init(jax.random.key(0), jnp.zeros((1, Z + H))))

    @jax.jit
    def returns(end: Any) -> Any:
        memory = it.params["memory"] | {"of_rest": rest | {"bias": jnp.array([0.5, end])}}
        parts = it._replace(params=it.params | {"memory": memory})
        candidates = jnp.stack([zeros, zeros + 1.0])
        return world_models.dreamt(
            parts, policy, unravel, ACTIONS, jax.random.key(0), jnp.zeros((4, Z)), candidates, steps=6
        )

    np.testing.assert_allclose(returns(9.0), [3.0, 3.0], rtol=1e-6)
    np.testing.assert_allclose(returns(-9.0), [0.5, 0.5], rtol=1e-6)


def test_dreams_follow_the_controller() -> None:
    """Where the reward is the memory's h, which the action decides, controllers of other actions earn otherwise."""
    it = world()
    policy = networks.q_network(networks.Torso(Box((Z + H,)), (), None), networks.QValues(2))
    params = policy.init(jax.random.key(0), jnp.zeros((1, Z + H)))
    _, unravel = ravel_pytree(params)
    biases = ravel_pytree(
        jax.tree.map(lambda x: jnp.arange(x.size, dtype=x.dtype).reshape(x.shape) * (x.ndim == 1), params)
    )[0]
    candidates = jnp.stack([9 * biases, -9 * biases, 9 * biases])
    found = jax.jit(
        lambda c: world_models.dreamt(
            it, policy, unravel, ACTIONS, jax.random.key(0), jnp.zeros((2, Z)), c, steps=5, temperature=1e-6
        )
    )(candidates)
    assert abs(found[0] - found[2]) < 0.1 * abs(found[0] - found[1])


TINY = [
    *["--steps", "2000", "--num-envs", "4", "--transitions", "960", "--vision-updates", "20", "--memory-updates", "20"],
    *[
        "--vision-batch",
        "8",
        "--memory-batch",
        "4",
        "--memory-length",
        "8",
        "--generations",
        "10",
        "--eval-episodes",
        "2",
    ],
    *["--agent.latent", "2", "--agent.units", "8", "--agent.layers", "1", "--agent.memory-size", "4"],
    *["--agent.population", "4", "--agent.episodes", "1", "--env-options", "time_limit=20"],
]


@pytest.mark.slow
def test_stages_are_made_once_and_taken_up(tmp_path: Any) -> None:
    run = tmp_path / "run"
    found = succeed("world_models", *TINY, "--stages", "vision", "memory", "controller", "dream", "--out", run).result
    assert set(found) == {"vision", "memory", "controller", "dream"}
    assert np.isfinite(found["dream"]["eval_returns"]).all() and np.isfinite(found["controller"]["eval_iqm"])
    claim = replace(evidence.claims.load("world_models_dream"), seeds=(0,))
    record = evidence.records.of_run(run, claim, "")
    assert record.steps == (0,) and record.values == ((pytest.approx(found["dream"]["kept"][0], rel=1e-5),),)
    again = succeed("world_models", "--resume", run).result
    assert again["vision"] == found["vision"] and again["dream"] == found["dream"]
    assert again["controller"]["eval_returns"] == found["controller"]["eval_returns"]
    played = succeed("evaluate", run / "controller", "--episodes", "2").result
    assert played["experiment"] == "world_models" and np.isfinite(played["eval_iqm"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--stages", "memory"], "--stages memory: memory needs"),
        (["--agent.reads", "observation"], "with --agent.reads observation there is controller alone"),
        (["--stages", "--agent.model", "nowhere"], "--agent.model 'nowhere': holds no vision"),
        (["--agent.population", "2"], "--agent.population 2: must be at least 4, or 0"),
        (["--transitions", "100"], "--transitions 100: 4 rows in each of 32 lanes"),
    ],
)
def test_refusals(words: list[str], told: str, tmp_path: Any) -> None:
    outcome = call("world_models", *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and told in outcome.err, outcome.err


def test_random_actions_are_held() -> None:
    config = command.experiment.parse(["--transitions", "3200"])
    action = np.asarray(dream_learning.played(config).action)
    same = (action[1:] == action[:-1]).mean()
    assert abs(same - 0.8) < 0.03
    config = command.experiment.parse(["--transitions", "3200", "--held", "1"])
    action = np.asarray(dream_learning.played(config).action)
    assert (action[1:] == action[:-1]).mean() < 0.01
