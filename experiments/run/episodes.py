"""Episodes of trained policies: played as in training, timed reward by reward, or filmed."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import reports

if TYPE_CHECKING:
    from agents.base import Agent, Array, Tree
    from envs.base import Environment, HostEnvironment, Key
    from experiments.drivers.contract import Hypers, Make, Parts


def exploring(make: "Make") -> "Make":
    """The same parts, of an agent that always acts as in training."""

    def changed(hypers: "Hypers") -> "Parts":
        parts = make(hypers)
        act = parts.agent.act
        always = lambda actor, key, carry, timestep, explore: act(actor, key, carry, timestep, True)  # noqa: E731
        return parts._replace(agent=parts.agent._replace(act=always))

    return changed


def stepping(
    env: "Environment | HostEnvironment", agent: "Agent", episodes: int, number: int
) -> "Callable[[Tree, Key], list[float]]":
    """`(actor, key) -> list`: mean steps to each of the first rewards of an episode from the one before, NaN if never.

    Raises:
      ValueError: the task does not run in graph, or has no time limit.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from envs.base import Environment
    from experiments.drivers.base import env_action

    limit = env.spec.time_limit
    if not isinstance(env, Environment) or not limit:
        raise ValueError(f"--rewards {number}: needs a task in graph with a time limit, not {env.spec.name}")

    @jax.jit
    def paid(actor: "Tree", key: "Key") -> "Array":
        k_env, k_act = jax.random.split(key)
        state, timestep = jax.vmap(env.reset)(jax.random.split(k_env, episodes))

        def step(carry: "Tree", key: "Key") -> "tuple[Tree, Array]":
            state, timestep, memory, over = carry
            action, memory, _ = agent.act(actor, key, memory, timestep, False)
            state, timestep = jax.vmap(env.step)(state, env_action(env.spec, action))
            return (state, timestep, memory, over | timestep.last()), (timestep.reward > 0) & ~over

        begun = (state, timestep, agent.begin(episodes), jnp.zeros(episodes, bool))
        return jax.lax.scan(step, begun, jax.random.split(k_act, limit))[1]

    def play(actor: "Tree", key: "Key") -> list[float]:
        rewarded = np.asarray(paid(actor, key))
        when = [np.flatnonzero(rewarded[:, i]) + 1 for i in range(episodes)]
        gaps = [np.diff(times, prepend=0)[:number] for times in when]
        columns = [[gap[i] for gap in gaps if len(gap) > i] for i in range(number)]
        return [float(np.mean(column)) if column else float("nan") for column in columns]

    return play


def film(
    env: "Environment | HostEnvironment", agent: "Agent", actor: "Tree", seed: int, path: Path, most: int = 5_000
) -> None:
    """Films one greedy episode, at the rate of the task.

    Raises:
      ValueError: the task cannot draw itself.
      reports.files.UnwritableError: the file cannot be written. A link in its place is replaced.
    """
    import imageio.v3 as iio
    import jax
    import numpy as np

    from envs import keys
    from envs.base import Environment
    from envs.host import pool_of
    from experiments.drivers.base import env_action

    host = pool_of(env) if isinstance(env, Environment) else env
    lane = host.filmed(seed) if host.filmed else host.pool(1, seed)
    if lane.frame is None:
        raise ValueError(f"--video {path}: {env.spec.name} has no frames to film")
    act = jax.jit(lambda key, carry, timestep: agent.act(actor, key, carry, timestep, False)[:2])
    timestep, carry, frames = lane.reset(), agent.begin(1), [lane.frame()]
    for key in jax.random.split(keys.key(seed), most):
        action, carry = act(key, carry, timestep)
        lane.send(np.asarray(env_action(env.spec, action)))
        timestep = lane.recv()
        frames.append(lane.frame())
        if timestep.last()[0]:
            break
    lane.close()
    # Video codecs want even sides.
    even = [np.asarray(f)[: f.shape[0] // 2 * 2, : f.shape[1] // 2 * 2] for f in frames]
    with reports.files.writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    mp4: dict[str, Any] = {"macro_block_size": 2, "fps": env.spec.fps}
    gif: dict[str, Any] = {"loop": 0, "duration": 1000 / env.spec.fps}
    with warnings.catch_warnings():
        # The encoder is another program; what runs between fork and exec touches no lock of JAX's.
        warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
        options = mp4 if path.suffix == ".mp4" else gif
        encoded: Any = iio.imwrite("<bytes>", np.stack(even), extension=path.suffix, **options)
    reports.files.write(path, encoded)
    print(f"filmed {len(frames)} frames: {path}")
