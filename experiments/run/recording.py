"""Episodes played to be kept, in graph or around a simulator: as many from every lane, or short ones were likelier."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

    from agents.base import Array, Step, Tree
    from envs.base import Environment, HostEnvironment, Key, Spec, TimeStep

LENGTH = 64
"""Rows that are played between looks at which episodes have ended."""


class Player(NamedTuple):
    """What plays."""

    begin: Callable[[int], Any]
    """`(B) -> carry`."""
    act: Callable[..., tuple[Any, Any]]
    """`(key, carry, timestep[B]) -> (action[B], carry)`."""


def chance(spec: "Spec", flag: str) -> Player:
    """Actions drawn uniformly.

    Raises:
      ValueError: the task's are not bounded, beginning with `flag`.
    """
    check_bounded(spec, flag)
    return Player(lambda lanes: (), lambda key, carry, timestep: (drawn(spec, key, timestep), carry))


def check_bounded(spec: "Spec", flag: str) -> None:
    """Refuses actions from which none can be drawn uniformly.

    Raises:
      ValueError: beginning with `flag`.
    """
    import numpy as np

    from envs.base import Box

    if isinstance(spec.action, Box) and not all(np.isfinite(bound).all() for bound in spec.action[1:3]):
        raise ValueError(f"{flag}: needs bounded actions to draw from, but those of {spec.name} are {spec.action}")


def drawn(spec: "Spec", key: "Key", timestep: "TimeStep") -> "Array":
    """Random actions `[B, ...]`."""
    import jax
    import jax.numpy as jnp

    from envs.base import Box, Discrete

    shape = (timestep.reward.shape[0], *spec.action.shape)
    if isinstance(spec.action, Box):
        low, high = (jnp.broadcast_to(bound, shape) for bound in (spec.action.low, spec.action.high))
        return low + (high - low) * jax.random.uniform(key, shape)
    most = spec.action.num if isinstance(spec.action, Discrete) else jnp.array(spec.action.nums)
    return jax.random.randint(key, shape, 0, jnp.broadcast_to(most, shape))


def disturbed(player: Player, spec: "Spec", noise: float, epsilon: float) -> Player:
    """The player, whose actions are sometimes others.

    Args:
      player: any.
      spec: the task.
      noise: standard deviation of what is added to continuous actions, as a share of half their range.
      epsilon: probability of a random action in their place.
    """
    import jax
    import jax.numpy as jnp

    from envs.base import Box, select

    def act(key: "Key", carry: "Tree", timestep: "TimeStep") -> "tuple[Tree, Tree]":
        k_act, k_noise, k_choice, k_random = jax.random.split(key, 4)
        action, carry = player.act(k_act, carry, timestep)
        if noise and isinstance(spec.action, Box):
            low, high = (jnp.broadcast_to(bound, action.shape) for bound in (spec.action.low, spec.action.high))
            action = action + noise * (high - low) / 2 * jax.random.normal(k_noise, action.shape)
        if epsilon:
            chosen = jax.random.uniform(k_choice, timestep.reward.shape) < epsilon
            action = select(chosen, drawn(spec, k_random, timestep), action)
        return action, carry

    return Player(player.begin, act) if noise or epsilon else player


def record(env: "Environment | HostEnvironment", player: Player, episodes: int, lanes: int, seed: int) -> "list[Step]":
    """Whole episodes, `Step[T+1]` of numpy arrays from FIRST to LAST; the first that each lane plays.

    Args:
      env: a task in graph or around a simulator.
      player: what acts; actions are kept as the task is given them, within its bounds.
      episodes: how many.
      lanes: that play side by side.
      seed: of the episodes and of the player's draws.
    """
    import jax
    import numpy as np

    from replay import dataset

    lanes = min(lanes, episodes)
    quota = [episodes // lanes + (lane < episodes % lanes) for lane in range(lanes)]
    play, close = playing(env, player, lanes, seed)
    pieces: list[Any] = []
    ended = np.zeros(lanes, int)
    try:
        while (ended < quota).any():
            rows = play()
            pieces.append(rows)
            ended += (rows.timestep.step_type == dataset.LAST).sum(axis=0)
    finally:
        close()
    rows = jax.tree.map(lambda *x: np.concatenate(x), *pieces)
    found = []
    for lane, number in enumerate(quota):
        own = jax.tree.map(lambda x, lane=lane: x[:, lane : lane + 1], rows)
        found += dataset.lanes(own)[:number]
    return found


def playing(
    env: "Environment | HostEnvironment", player: Player, lanes: int, seed: int
) -> "tuple[Callable[[], Step], Callable[[], None]]":
    """What plays the next `LENGTH` rows `Step[LENGTH, B]` of numpy arrays, and what closes the task."""
    import jax
    import numpy as np

    from envs import keys
    from envs.base import Environment
    from experiments.drivers.base import env_action
    from replay.base import Step

    k_env, k_act = jax.random.split(keys.key(seed))

    def act(key: "Key", carry: "Tree", timestep: "TimeStep") -> "tuple[Step, Tree]":
        action, carry = player.act(key, carry, timestep)
        return Step(timestep, env_action(env.spec, action)), carry

    if isinstance(env, Environment):

        @jax.jit
        def chunk(state: tuple, number: "Array | int") -> tuple[tuple, Step]:
            def body(state: tuple, key: "Key") -> tuple[tuple, Step]:
                inner, timestep, carry = state
                row, carry = act(key, carry, timestep)
                return (*jax.vmap(env.step)(inner, row.action), carry), row

            return jax.lax.scan(body, state, jax.random.split(jax.random.fold_in(k_act, number), LENGTH))

        begun = jax.jit(jax.vmap(env.reset))(jax.random.split(k_env, lanes))
        now: dict[str, Any] = {"state": (*begun, player.begin(lanes)), "number": 0}

        def inside() -> Step:
            now["state"], rows = chunk(now["state"], now["number"])
            now["number"] += 1
            return jax.tree.map(np.asarray, rows)

        return inside, lambda: None

    pool, one = env.pool(lanes, seed), jax.jit(act)
    outer: dict[str, Any] = {"timestep": pool.reset(), "carry": player.begin(lanes), "t": 0}

    def around() -> Step:
        rows = []
        for _ in range(LENGTH):
            row, outer["carry"] = one(jax.random.fold_in(k_act, outer["t"]), outer["carry"], outer["timestep"])
            kept = row._replace(timestep=outer["timestep"], action=jax.tree.map(np.asarray, row.action))
            rows.append(jax.tree.map(np.array, kept))  # simulators may write into the arrays they gave
            pool.send(kept.action)
            outer["timestep"] = pool.recv()
            outer["t"] += 1
        return jax.tree.map(lambda *x: np.stack(x), *rows)

    return around, pool.close


def replayed(folder: Path, number: int, lanes: int, shared: bool) -> "list[Step]":
    """The whole episodes that the replay of a run holds in its newest checkpoint, `Step[T+1]` of numpy arrays.

    Args:
      folder: of the run.
      number: which of its seeds, counted from 0.
      lanes: on each device.
      shared: whether devices trained each seed together.

    Raises:
      ValueError: there is no readable checkpoint, or its replay keeps no ring of rows.
    """
    import numpy as np

    from envs.base import host_rows
    from experiments.run.checkpoint import Checkpointer
    from replay import dataset
    from replay.base import Step
    from replay.files import tree_of

    found = Checkpointer(folder / "checkpoints").part("0/replay/")
    if found is None:
        raise ValueError(f"--replay {folder}: it has no checkpoint that can be read")
    before = next((name.removesuffix("head") for name in found if name.endswith("head")), None)
    if before is None:
        raise ValueError(f"--replay {folder}: its replay keeps no rows from which episodes could be told")
    own = {name.removeprefix(before): x for name, x in found.items() if name.startswith(before)}
    groups, each = own["head"].shape
    places = [(group, number) for group in range(groups)] if shared else [divmod(number, each)]
    episodes: list[Any] = []
    for group, place in places:
        head, fill = int(own["head"][group, place]), int(own["fill"][group, place])

        def in_order(
            x: np.ndarray, at: tuple[int, int] = (group, place), head: int = head, fill: int = fill
        ) -> "np.ndarray":
            held = x[at].reshape(-1, lanes, *x.shape[3:])
            return held[(head - fill + np.arange(fill)) % len(held)]

        rows = {name.removeprefix("rows/"): in_order(x) for name, x in own.items() if name.startswith("rows/")}
        arrived = {name.removeprefix("timestep/"): x for name, x in rows.items() if name.startswith("timestep/")}
        kinds, reward, discount = (arrived[name] for name in ("step_type", "reward", "discount"))
        timestep = host_rows(kinds, reward, discount, tree_of(arrived, "observation"))
        episodes += dataset.lanes(Step(timestep, tree_of(rows, "action")))
    return episodes
