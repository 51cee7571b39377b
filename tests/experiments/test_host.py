"""The driver of simulators: which thread a pool belongs to, and episodes without an end."""

import threading
import time
from typing import Any

import gymnasium as gym
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import replay
from agents.base import Agent
from envs import keys
from envs.base import Box, Discrete, HostEnvironment, Spec, episodic
from experiments.drivers import base, devices, host, in_graph
from experiments.drivers.acting import acting
from experiments.drivers.contract import Parts, Schedule
from tests.experiments.running import succeed

STRANGERS: list[str] = []
"""Calls from threads that a lane does not belong to."""


class Owned(gym.Env):
    """Belongs to the thread that made it, as a connection to a database does."""

    def __init__(self) -> None:
        self.action_space, self.observation_space = gym.spaces.Discrete(2), gym.spaces.Box(-1, 1, (1,))
        self.owner, self.luck = threading.get_ident(), 0.0

    def check(self, call: str) -> None:
        if threading.get_ident() != self.owner:
            STRANGERS.append(call)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.check("reset")
        return np.zeros(1, np.float32), {}

    def step(self, action: int) -> Any:
        self.check("step")
        time.sleep(self.np_random.uniform(0, 1e-3))  # so that now one is done first, now the other
        return np.zeros(1, np.float32), 1.0, False, False, {}

    def close(self) -> None:
        self.check("close")


if "BellmaxOwned-v0" not in gym.registry:
    gym.register("BellmaxOwned-v0", Owned, max_episode_steps=5)


def test_a_pool_belongs_to_one_thread(tmp_path):
    words = ["--env", "gymnasium/BellmaxOwned-v0", "--agent.hidden", 4, "--agent.unroll", 4, "--num-envs", 2]
    words += ["--seeds", 3, "--steps", 256, "--log-every", 8, "--eval-every", 64, "--eval-episodes", 2, "--quiet"]
    assert (succeed("a2c", *words, "--out", tmp_path / "run").result["eval_returns"] == 5).all()
    assert STRANGERS == []


def counting(limit: int | None) -> Any:
    """A task that terminates after as many steps as the first action says, or never; and an agent that says 3 or 0."""

    def transition(key, state, action):
        steps, wanted = state
        wanted = jnp.where(steps == 0, action, wanted)
        return (steps + 1, wanted), jnp.float32(1), steps + 1 == wanted

    spec = Spec("gymnasium/counting", Box((1,), 0, 1), Discrete(4), limit)
    env = episodic(lambda key: (jnp.int32(0), jnp.int32(0)), transition, lambda state: jnp.zeros(1), spec)

    def act(actor, key, carry, timestep, explore):
        lanes = jnp.arange(timestep.reward.shape[0])
        return jnp.where(lanes < 3, 3, 0), carry, ()

    agent = Agent(lambda key, t: jnp.zeros(1), lambda state: state, lambda batch: (), act, None)
    return env, lambda hypers: Parts(agent, replay.uniform(8, 1), Schedule())


@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("limit", [None, 30])
def test_episodes_that_evaluations_cut_are_counted(outside, limit, monkeypatch, capsys):
    monkeypatch.setattr(base, "ENDLESS", 20)
    env, make = counting(limit)
    lay = devices.layout(1)
    numbers: dict[str, Any] = {"num_envs": 2, "iterations": 1, "eval_episodes": 5}
    hypers = {"run": np.arange(1)}
    if outside:
        made = host.driver(envs.pool_of(env), make, hypers, lay, seeds=[0], **numbers)
    else:
        made = in_graph.driver(env, make, hypers, lay, **numbers)
    told = capsys.readouterr().err
    found = made.loop.evaluate(jnp.zeros((1, 1, 1)), keys.key(np.arange(1)))
    made.close()
    assert found["eval_length"].tolist() == [[3, 3, 3, limit or 20, limit or 20]]
    if limit:
        assert told == "" and "eval_cut" not in found
    else:
        assert found["eval_cut"].tolist() == [[0, 0, 0, 1, 1]]
        assert told.startswith(
            "warning: gymnasium/counting has no time limit: evaluations cut its episodes at 20 steps"
        )
        assert told.endswith("; --env-options max_episode_steps=N limits them\n") and told.count("\n") == 1


@pytest.mark.parametrize(("episodes", "other"), [(None, True), (2, True), (0, False)])
def test_lanes_of_a_restored_run_have_other_seeds_but_where_tasks_stay_for_good(episodes, other):
    env, make = counting(30)
    env, seeds = env._replace(spec=env.spec._replace(episodes=episodes)), []

    def pool(num_envs, seed):
        seeds.append(seed)
        return envs.pool_of(env).pool(num_envs, seed)

    for generation in (0, 3):
        numbers: dict[str, Any] = {"num_envs": 2, "eval_episodes": 2, "evaluation_env": None, "backend": "pmap"}
        lay, hypers = devices.layout(1), {"run": np.zeros((1, 1), np.int32)}
        side = acting(HostEnvironment(pool, env.spec), make, hypers, lay, seeds=[5], **numbers)
        side.start(keys.key(np.arange(1)), generation)
        side.close()
    assert seeds[0] == [5] and (seeds[1] != [5]) == other


def test_the_option_that_limits_a_task():
    from envs.registry import limiting_option

    for name, options in (("gymnasium/CartPole-v1", {}), ("gymnax/CartPole-v1", {}), ("bellmax/dyna-maze", {})):
        option = limiting_option(name)
        assert envs.make(name, **options, **{option: 7}).spec.time_limit == 7
    assert limiting_option("bellmax/noise") is None and limiting_option("mine") is None
