"""The stages of `experiments.world_models` in which vision and memory learn from random actions."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import reports, run
from experiments.parts import dream_networks

if TYPE_CHECKING:
    from agents.base import Array, Step, Tree
    from agents.world_models import State
    from envs.base import Key
    from experiments.world_models import Flags

LANES, CHUNKS = 32, 20


def played(config: "Flags") -> "Step":
    """Rows `[T, LANES]` of random actions, each held for a while; the same ones whenever they are played."""
    import jax
    import jax.numpy as jnp

    from agents.base import Step
    from agents.world.planning import uniform
    from envs import keys

    env = run.prepare.environment(config)

    @jax.jit
    def play(key: "Key") -> "Step":
        k_env, k_first, k_act = jax.random.split(key, 3)
        state, timestep = jax.vmap(env.reset)(jax.random.split(k_env, LANES))

        def step(carry: "Tree", key: "Key") -> "tuple[Tree, Step]":
            state, timestep, action = carry
            k_change, k_action = jax.random.split(key)
            other = uniform(env.spec.action, k_action, (LANES,))
            change = jax.random.uniform(k_change, (LANES,)) < 1 / config.held
            action = jnp.where(change.reshape((-1,) + (1,) * (action.ndim - 1)), other, action)
            return (*jax.vmap(env.step)(state, action), action), Step(timestep, action)

        begun = (state, timestep, uniform(env.spec.action, k_first, (LANES,)))
        return jax.lax.scan(step, begun, jax.random.split(k_act, -(-config.transitions // LANES)))[1]

    rows: Step = play(jax.random.fold_in(keys.key(config.seed), 11))
    return rows


def inner_actions(spec: "run.Either", action: "Array") -> "Array":
    """The task's actions as an agent in [-1, 1] took them."""
    import numpy as np

    from envs.base import Discrete

    if isinstance(spec.action, Discrete):
        return action
    bounds = (np.asarray(bound, np.float32) for bound in (spec.action.low, spec.action.high))
    low, high = (np.broadcast_to(bound, spec.action.shape)[None, None] for bound in bounds)
    return 2 * (action - low) / (high - low) - 1


def learn(config: "Flags", folder: Path, name: str) -> dict[str, Any]:
    """Learns V or M from rows of random actions, and saves it in `folder / name`; taken up where it was stopped.

    Returns:
      The content of its summary.json: losses of the last part of the updates.
    """
    import jax
    import jax.numpy as jnp

    from agents import world_models
    from envs import keys
    from experiments.run.checkpoint import Checkpointer
    from networks.world import standardised

    place = folder / name
    if (place / "summary.json").exists():
        return reports.files.read_json(place, "summary.json")
    spec = run.prepare.environment(config).spec
    actions, chain = dream_networks.unit_actions(spec), dream_networks.optimiser(config.agent.learning_rate)
    vision, memory = dream_networks.networks(config.agent, spec)
    params = dream_networks.begun(config.agent, spec)[name]
    rows = played(config)
    rows = rows._replace(action=inner_actions(spec, rows.action))
    if name == "vision":
        params = standardised(vision, params, world_models.flat(rows.timestep.observation))
    seen = dream_networks.saved(folder / "vision", config.agent, spec) if name == "memory" else ()
    updates = config.vision_updates if name == "vision" else config.memory_updates
    each, (long, lanes) = -(-updates // CHUNKS), rows.timestep.reward.shape

    def drawn(key: "Key", rows: "Step") -> "Step":
        """Single observations for V, windows for M."""
        k_time, k_lane = jax.random.split(key)
        length = 0 if name == "vision" else config.memory_length
        count = config.vision_batch if name == "vision" else config.memory_batch
        time = jax.random.randint(k_time, (count,), 0, long - length)
        lane = jax.random.randint(k_lane, (count,), 0, lanes)
        at = time[None] + jnp.arange(length + 1)[:, None]
        return jax.tree.map(lambda x: x[at, lane[None]], rows)

    def once(state: "State", key: "Key", rows: "Step") -> "tuple[State, dict[str, Array]]":
        k_rows, k_loss = jax.random.split(key)
        window = drawn(k_rows, rows)
        if name == "vision":
            shown = jax.tree.map(lambda x: x[0], window.timestep.observation)
            weight = config.agent.fidelity
            loss = lambda params: world_models.vision_loss(vision, params, k_loss, shown, weight)  # noqa: E731
        else:
            given = (actions, k_loss, window, config.agent.end_weight)
            loss = lambda params: world_models.memory_loss(vision, seen, memory, params, *given)  # noqa: E731
        return world_models.descended(loss, chain, state)

    @jax.jit
    def chunk(state: "State", key: "Key", rows: "Step") -> "tuple[State, dict[str, Array]]":
        state, told = jax.lax.scan(lambda s, k: once(s, k, rows), state, jax.random.split(key, each))
        return state, jax.tree.map(jnp.mean, told)

    opened = world_models.State(params, chain.init(params))
    told: dict[str, Any] = {}
    with Checkpointer(place / "checkpoints", keep=1) as checkpoints:
        done, state = checkpoints.restore(jax.eval_shape(lambda: opened), {}) or (0, opened)
        for i in range(done // each, CHUNKS):
            state, told = chunk(state, jax.random.fold_in(keys.key(config.seed), i), rows)
            checkpoints.save((i + 1) * each, state, {})
            if not config.quiet:
                print(f"{name} {i + 1}/{CHUNKS}: " + ", ".join(f"{k} {float(v):.4g}" for k, v in told.items()))
    summary = {"losses": {k: float(v) for k, v in told.items()}, "updates": CHUNKS * each, "transitions": long * lanes}
    run.records.write_json(place / "summary.json", summary)
    return summary
