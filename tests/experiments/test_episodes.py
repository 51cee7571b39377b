"""Episodes of policies, timed reward by reward and filmed, and the folder that a run is given."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import Agent
from envs.base import Box, Discrete, Spec, episodic
from experiments.drivers.contract import Parts
from experiments.reports import files
from experiments.run import episodes, folders


def test_evaluate_times_each_reward():
    """Rewards after 2, 5 and 6 of 7 steps, in lanes that wait for one step more if they are told to."""

    def transition(key, state, action):
        t = state + 1
        at = t - action
        return t, ((at == 2) | (at == 5) | (at == 6)).astype(jnp.float32), jnp.bool_(False)

    spec = Spec("clock", Box((1,), 0, 1), Discrete(2), 7)
    env = episodic(lambda key: jnp.int32(0), transition, lambda state: jnp.zeros(1), spec)

    def act(actor, key, carry, timestep, explore):
        return jnp.full(timestep.reward.shape, actor + explore, jnp.int32), carry, {}

    agent = Agent(None, None, lambda batch: (), act, None)
    for late, expected in ((0, [2, 3, 1]), (1, [3, 3, 1])):
        assert episodes.stepping(env, agent, 3, 3)(jnp.int32(late), jax.random.key(0)) == expected
    late = episodes.exploring(lambda hypers: Parts(agent, None, None))({}).agent
    found = episodes.stepping(env, late, 3, 4)(jnp.int32(0), jax.random.key(0))
    assert found[:3] == [3, 3, 1] and np.isnan(found[3])
    with pytest.raises(ValueError, match="--rewards 1: needs a task in graph with a time limit"):
        episodes.stepping(env._replace(spec=spec._replace(time_limit=None)), agent, 1, 1)


@pytest.mark.parametrize(
    ("name", "shape", "milliseconds"), [("gymnax/CartPole-v1", (160, 240), 20), ("bellmax/catch", (320, 160), 100)]
)
def test_films_play_at_the_rate_of_the_task(name, shape, milliseconds, tmp_path):
    from PIL import Image

    env = envs.make(name)
    act = lambda actor, key, carry, timestep, explore: (jnp.zeros(1, jnp.int32), carry, {})  # noqa: E731
    episodes.film(env, Agent(None, None, lambda batch: (), act, None), (), 0, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames >= 9 and film.info["duration"] == milliseconds
        assert film.size == shape[::-1]


@pytest.mark.parametrize("suffix", ["gif", "mp4"])
def test_films_are_not_written_through_links(suffix, tmp_path):
    env = envs.make("bellmax/catch")
    act = lambda actor, key, carry, timestep, explore: (jnp.zeros(1, jnp.int32), carry, {})  # noqa: E731
    mine, film = tmp_path / "mine.txt", tmp_path / f"film.{suffix}"
    mine.write_text("keep me")
    film.symlink_to(mine)
    episodes.film(env, Agent(None, None, lambda batch: (), act, None), (), 0, film)
    assert mine.read_text() == "keep me"
    assert not film.is_symlink() and film.stat().st_size > 100
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"film.{suffix}", "mine.txt"]
    (tmp_path / "folder.gif").mkdir()
    with pytest.raises(files.UnwritableError, match=r"folder\.gif: cannot be written \(a folder is in its place\)$"):
        episodes.film(env, Agent(None, None, lambda batch: (), act, None), (), 0, tmp_path / "folder.gif")


def test_the_folder_of_a_run_has_a_name_for_every_file_system():
    config = SimpleNamespace(resume="", out="", env="gymnasium/my.module:Task-v0")
    assert folders.folder_of("ppo", config).name.startswith("ppo-gymnasium-my.module-Task-v0-")
