"""The model stage of `experiments.i2a`, and what its stages are compared by."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import reports, run
from experiments.parts import worlds

if TYPE_CHECKING:
    from agents.base import Array, Step, Tree
    from agents.world.frames import Coder
    from envs.base import Key
    from experiments.i2a import Flags

LANES, CHUNKS = 64, 20


class Data(NamedTuple):
    """Trajectories `[T, lanes]`; observations as kinds of pixels, one byte each."""

    frame: Any
    action: Any
    reward: Any
    step_type: Any


def train_model(config: "Flags", folder: Path) -> dict[str, Any]:
    """Learns the frame model from trajectories of the baseline's last policies, and saves it in `folder / "model"`.

    Taken up where it was stopped. Trajectories are drawn again from the same numbers; a tenth is kept for the test.

    Returns:
      The content of its summary.json: of transitions that were not learned from, how many pixels, whole frames and
      rewards (within 0.05) are right.

    Raises:
      ValueError: there is no baseline, or the task has no frames of a few kinds.
    """
    run.use_cores()
    import jax
    import jax.numpy as jnp

    from agents.world import frames
    from envs import keys
    from experiments.run.checkpoint import Checkpointer

    env = run.prepare.environment(config)
    spec, place = env.spec, folder / "model"
    learner = worlds.frame_learner(spec, config.model_learning_rate, config.agent.poor)
    coder = worlds.coder(spec)
    if (place / "summary.json").exists():
        return reports.files.read_json(place, "summary.json")
    data = trajectories(config, folder / "baseline", coder)
    held = max(2, data.frame.shape[0] // 10)
    seen, unseen = (
        jax.tree.map(lambda x, part=part: x[part], data) for part in (slice(None, -held), slice(-held, None))
    )
    example = window(coder, jax.tree.map(lambda x: x[:2], seen))
    template = jax.eval_shape(learner.init, keys.key(config.seed), jax.tree.map(lambda x: x[0], example.timestep))
    state = jax.jit(learner.init)(keys.key(config.seed), jax.tree.map(lambda x: x[0], example.timestep))
    each = -(-config.model_updates // CHUNKS)

    @jax.jit
    def chunk(state: "Tree", key: "Key", seen: Data) -> "tuple[Tree, dict[str, Array]]":
        def once(state: "Tree", key: "Key") -> "tuple[Tree, dict[str, Array]]":
            k_time, k_lane, k_update = jax.random.split(key, 3)
            rows, lanes = seen.action.shape
            time = jax.random.randint(k_time, (config.model_batch,), 0, rows - 1)
            lane = jax.random.randint(k_lane, (config.model_batch,), 0, lanes)
            pairs = jax.tree.map(lambda x: jnp.stack([x[time, lane], x[time + 1, lane]]), seen)
            return learner.update(state, k_update, window(coder, pairs))

        state, metrics = jax.lax.scan(once, state, jax.random.split(key, each))
        return state, jax.tree.map(jnp.mean, metrics)

    measure = jax.jit(frames.measured(learner))
    with Checkpointer(place / "checkpoints", keep=1) as checkpoints:
        found = checkpoints.restore(template, {})
        done, state = found or (0, state)
        summary: dict[str, Any] = {}
        for i in range(done // each, CHUNKS):
            state, metrics = chunk(state, jax.random.fold_in(keys.key(config.seed), i), seen)
            checkpoints.save((i + 1) * each, state, {})
            if not config.quiet:
                print(f"model {i + 1}/{CHUNKS}: " + ", ".join(f"{k} {float(v):.4g}" for k, v in metrics.items()))
    parts = [window(coder, jax.tree.map(lambda x, t=t: x[t : t + 2], unseen)) for t in range(0, held - 1, 2)]
    tests = [measure(learner.params(state), part) for part in parts]
    summary = {name: float(jnp.mean(jnp.stack([test[name] for test in tests]))) for name in tests[0]}
    summary |= {"transitions": int(seen.action.size), "updates": CHUNKS * each}
    run.records.write_json(place / "summary.json", summary)
    return summary


def window(coder: "Coder", data: Data) -> "Step":
    """Rows `Step[T, N]` of stored ones."""
    import jax.numpy as jnp

    from agents.base import Step, TimeStep

    frame = coder.decode(data.frame.astype(jnp.int32))
    return Step(TimeStep(data.step_type, data.reward, jnp.ones_like(data.reward), frame), data.action)


def trajectories(config: "Flags", baseline: Path, coder: "Coder") -> Data:
    """What the baseline's last policies meet, exploring; all seeds in turn."""
    import jax
    import jax.numpy as jnp

    from envs import keys

    _, trained, env, make, _, actors = run.policies.saved(baseline, "last")
    agent = make({}).agent
    rows = -(-config.model_transitions * 10 // (9 * LANES * trained.seeds)) + 2

    @jax.jit
    def play(actor: "Tree", key: "Key") -> Data:
        k_env, k_act = jax.random.split(key)
        state, timestep = jax.vmap(env.reset)(jax.random.split(k_env, LANES))

        def step(carry: "Tree", key: "Key") -> "tuple[Tree, Data]":
            state, timestep, memory = carry
            action, memory, _ = agent.act(actor, key, memory, timestep, True)
            frame = coder.encode(timestep.observation).astype(jnp.uint8)
            row = Data(frame, action, timestep.reward, timestep.step_type)
            return (*jax.vmap(env.step)(state, action), memory), row

        return jax.lax.scan(step, (state, timestep, agent.begin(LANES)), jax.random.split(k_act, rows))[1]

    played = [
        play(
            jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), actors), jax.random.fold_in(keys.key(config.seed), 7_000 + i)
        )
        for i in range(trained.seeds)
    ]
    return jax.tree.map(lambda *x: jnp.concatenate(x, 1), *played)


def ended(folder: Path, episodes: int, seed: int = 1_000_000) -> list[float]:
    """Of each seed's last policy, sampled, the share of fresh episodes that end in time: levels solved."""
    found = run.evaluation.play(run.evaluation.Flags(folder, episodes, which="last", seed=seed, sampled=True))
    return found["eval_ended"]


def report(folder: Path, found: dict[str, Any], eval_episodes: int, quiet: bool) -> None:
    """Adds to the summaries of agents how many levels they solve, where it is Sokoban that they play; and prints.

    Of 200 levels, or of as many as there are episodes in an evaluation where those are few.
    """
    import numpy as np

    from experiments import reports

    for name in ("baseline", "agent"):
        if name in found and found[name]["env"].endswith("/sokoban"):
            share = np.asarray(ended(folder / name, 200 if eval_episodes >= 128 else eval_episodes))
            low, high = reports.stats.interval(share)
            found[name] |= {
                "solved": share.tolist(),
                "solved_iqm": reports.stats.iqm(share),
                "solved_ci95": [low, high],
            }
    run.records.write_json(folder / "summary.json", found)
    if quiet:
        return
    for name, summary in found.items():
        shown = {k: v for k, v in summary.items() if k in ("eval_iqm", "eval_ci95", "solved_iqm", "solved_ci95")}
        print(f"{name}: {shown or summary}")
