"""The libraries that `experiments.benchmark` measures bellmax against, and the worker process that either side runs in.

Every function below prepares one piece of work, compiled and warm, and returns a `run` that does it once and returns
how many units it did (environment steps, calls). Nothing of bellmax is imported here, so that a worker can run under
another interpreter, and each library is used the way its own documentation does.
"""

import importlib.metadata
import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

Run = Callable[[], float]
PACKAGES = {
    **{"rejax": "rejax", "gymnax": "gymnax", "jumanji": "jumanji", "flashbax": "flashbax"},
    **{"sb3": "stable-baselines3", "sbx": "sbx-rl"},
    **{"jax": "jax", "jaxlib": "jaxlib", "flax": "flax", "torch": "torch", "gymnasium": "gymnasium"},
}


def versions() -> dict[str, str]:
    """What of `PACKAGES` is installed, in which version."""
    found = {}
    for name, package in PACKAGES.items():
        try:
            found[name] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


class FiveTuple:
    """A task of gymnax >= 1.0 whose `step` returns the five values of gymnax 0.0.9, which rejax expects."""

    def __init__(self, env: Any):
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def __deepcopy__(self, memo: Any) -> "FiveTuple":
        return self  # rejax copies its configuration; a task has no state

    def step(self, key: Any, state: Any, action: Any, params: Any = None) -> Any:
        """Ends an episode where gymnax terminates or truncates it."""
        observation, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return observation, state, reward, terminated | truncated, info


def gymnax_task() -> tuple[Any, Any]:
    """CartPole as gymnax has it, with the old signature, and its parameters."""
    import gymnax

    env, params = gymnax.make("CartPole-v1")
    old = importlib.metadata.version("gymnax").startswith("0.")
    return (env if old else FiveTuple(env)), params


def gymnax_environment(seeds: int, steps: int, num_envs: int) -> Run:
    """Environment steps alone, actions alternating."""
    import jax
    import jax.numpy as jnp

    env, params = gymnax_task()
    lanes = seeds * num_envs
    step = jax.vmap(env.step, (0, 0, None, None))

    def many(key: Any) -> Any:
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, lanes), params)

        def body(carry: Any, t: Any) -> Any:
            key, state, total = carry
            key, k_step = jax.random.split(key)
            _, state, reward, _, _ = step(jax.random.split(k_step, lanes), state, t % 2, params)
            return (key, state, total + jnp.sum(reward)), None

        return jax.lax.scan(body, (key, state, jnp.float32(0)), jnp.arange(steps))[0][2]

    compiled = jax.jit(many).lower(jax.random.PRNGKey(0)).compile()

    def run() -> float:
        jax.block_until_ready(compiled(jax.random.PRNGKey(1)))
        return lanes * steps

    return run


def jumanji_environment(seeds: int, steps: int, num_envs: int) -> Run:
    """Steps of Sokoban alone, actions alternating, on the level that needs no download."""
    import jax
    import jax.numpy as jnp
    from jumanji.environments import Sokoban
    from jumanji.environments.routing.sokoban.generator import SimpleSolveGenerator
    from jumanji.wrappers import VmapAutoResetWrapper

    env: Any = VmapAutoResetWrapper(Sokoban(generator=SimpleSolveGenerator()))
    lanes = seeds * num_envs

    def many(key: Any) -> Any:
        state, _ = env.reset(jax.random.split(key, lanes))

        def body(carry: Any, t: Any) -> Any:
            state, timestep = env.step(carry[0], jnp.full(lanes, t % 2, jnp.int32))
            return (state, carry[1] + jnp.sum(timestep.reward)), None

        return jax.lax.scan(body, (state, jnp.float32(0)), jnp.arange(steps))[0][1]

    compiled = jax.jit(many).lower(jax.random.PRNGKey(0)).compile()

    def run() -> float:
        jax.block_until_ready(compiled(jax.random.PRNGKey(1)))
        return lanes * steps

    return run


def rejax_algorithm(agent: str, steps: int, config: Mapping[str, Any]) -> Any:
    """A rejax algorithm that trains for `steps` and evaluates nothing."""
    import rejax

    env, params = gymnax_task()
    kind = {"dqn": rejax.DQN, "ppo": rejax.PPO, "sac": rejax.SAC}[agent]
    steps_at_once = {"total_timesteps": steps, "eval_freq": steps, "skip_initial_evaluation": True}
    config = {**config, "agent_kwargs": dict(config["agent_kwargs"])}
    algorithm = kind.create(env=env, env_params=params, **steps_at_once, **config)
    return algorithm.replace(eval_callback=lambda algorithm, state, key: state.global_step)


def rejax_train(agent: str, seeds: int, steps: int, config: Mapping[str, Any]) -> Run:
    """A whole training of vmapped seeds, compiled ahead."""
    import jax

    algorithm = rejax_algorithm(agent, steps, config)
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    compiled = jax.jit(jax.vmap(algorithm.train)).lower(keys).compile()

    def run() -> float:
        state, _ = jax.block_until_ready(compiled(keys))
        return float(state.global_step.sum())

    return run


def rejax_compile(agent: str, config: Mapping[str, Any]) -> Run:
    """Traces, lowers and compiles the training of one seed."""
    import jax

    def run() -> float:
        jax.clear_caches()
        algorithm = rejax_algorithm(agent, 200_000, config)
        jax.jit(algorithm.train).lower(jax.random.PRNGKey(0)).compile()
        return 1.0

    return run


def flashbax(operations: str, scan: bool, capacity: int, lanes: int, batch: int, seeds: int, calls: int) -> Run:
    """Calls of a full flat buffer of transitions; see `replay_calls`."""
    import flashbax
    import jax
    import jax.numpy as jnp

    buffer = flashbax.make_flat_buffer(capacity, batch, batch, add_batch_size=lanes)
    row = flashbax_row(lanes)

    def init() -> Any:
        return buffer.init(jax.tree.map(lambda x: x[0], row)).replace(is_full=jnp.bool_(True))

    calls_of = Calls(init, lambda s: buffer.add(s, row), buffer.sample)
    return replay_calls(calls_of, jax.random.key(0), operations, scan, seeds, calls)


def flashbax_prioritised(
    operations: str, scan: bool, capacity: int, lanes: int, batch: int, seeds: int, calls: int
) -> Run:
    """The same of a full prioritised flat buffer, with "update" for its `set_priorities`."""
    import flashbax
    import jax
    import jax.numpy as jnp

    sizes = {"max_length": capacity, "min_length": batch, "sample_batch_size": batch, "add_batch_size": lanes}
    device = {"add_sequences": True, "priority_exponent": 0.6, "device": jax.default_backend()}
    buffer = flashbax.make_prioritised_flat_buffer(**sizes, **device)
    row = jax.tree.map(lambda x: x[:, None], flashbax_row(lanes))

    def init() -> Any:
        full = jax.tree.map(lambda x: jnp.repeat(x, capacity // lanes, axis=1), row)
        return buffer.add(buffer.init(jax.tree.map(lambda x: x[0, 0], row)), full)

    def update(state: Any, drawn: Any) -> Any:
        return buffer.set_priorities(state, drawn.indices, priorities(batch))

    calls_of = Calls(init, lambda s: buffer.add(s, row), buffer.sample, update)
    return replay_calls(calls_of, jax.random.key(0), operations, scan, seeds, calls)


def priorities(batch: int) -> Any:
    """Different numbers, for either side to set."""
    import jax.numpy as jnp

    return 0.1 + jnp.abs(jnp.sin(jnp.arange(batch, dtype=jnp.float32)))


def flashbax_row(lanes: int) -> dict[str, Any]:
    """A row of transitions of CartPole, as bellmax stores them."""
    import jax.numpy as jnp

    numbers = {"observation": jnp.zeros((lanes, 4)), "reward": jnp.zeros(lanes), "discount": jnp.zeros(lanes)}
    return {**numbers, "action": jnp.zeros(lanes, jnp.int32), "step_type": jnp.zeros(lanes, jnp.int8)}


class Calls(NamedTuple):
    """What of a replay is called: `init()`, `add(state)`, `sample(state, key)` and `update(state, drawn)`."""

    init: Callable[[], Any]
    add: Callable[[Any], Any]
    sample: Callable[[Any, Any], Any]
    update: Callable[[Any, Any], Any] | None = None


def replay_calls(replay: Calls, key: Any, operations: str, scan: bool, seeds: int, calls: int) -> Run:
    """Calls of a replay, the same for every library: seeds vmapped, state donated.

    Args:
      replay: the state of one seed and what is done to it: `add` writes a row of lanes, `sample` draws a batch and
        `update` gives the batch `drawn` new priorities.
      key: a key.
      operations: some of "add", "sample" and "update", in this order and joined by "+".
      scan: whether the calls are the iterations of one jitted scan, or one jitted call each.
      seeds: how many, vmapped; 1 for no vmap.
      calls: per run.
    """
    import jax
    import jax.numpy as jnp

    several = seeds > 1

    def over_seeds(fn: Callable[..., Any]) -> Callable[..., Any]:
        return jax.vmap(fn) if several else fn

    def once(state: Any, drawn: Any, key: Any) -> tuple[Any, Any]:
        if "add" in operations:
            state = replay.add(state)
        if "sample" in operations:
            drawn = replay.sample(state, key)
        if "update" in operations:
            assert replay.update
            state = replay.update(state, drawn)
        return state, drawn if "sample" in operations else None

    def scanned(state: Any, drawn: Any, keys: Any) -> Any:
        def body(carry: Any, key: Any) -> Any:
            state, now = once(carry[0], drawn, key)
            return (state, carry[1] + sum(jnp.sum(x, dtype=jnp.float32) for x in jax.tree.leaves(now))), None

        return jax.lax.scan(body, (state, jnp.float32(0)), keys)[0]

    make = jax.jit(lambda: jax.vmap(lambda _: replay.init())(jnp.arange(seeds)) if several else replay.init())
    keys = jax.random.split(key, (seeds, calls) if several else calls)
    each = [jax.block_until_ready(keys[:, i] if several else keys[i]) for i in range(calls)]
    jitted = jax.jit(over_seeds(scanned if scan else once), donate_argnums=0)
    held = [jax.block_until_ready(make())]
    drawn = jax.block_until_ready(jax.jit(over_seeds(replay.sample))(held[0], each[0]))

    def run() -> float:
        state, last = held.pop(), None
        for key in [keys] if scan else each:
            state, last = jitted(state, drawn, key)
        jax.block_until_ready((state, last))
        held.append(state)
        return calls

    run()
    return run


def stable_baselines(library: str, env: str, agent: str, steps: int, num_envs: int, config: Mapping[str, Any]) -> Run:
    """Training of one seed on a task of gymnasium, in "sb3" (torch) or "sbx" (JAX); warm, learning from row 1."""
    from stable_baselines3.common.env_util import make_vec_env

    package = import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[library])
    vector = make_vec_env(env, n_envs=num_envs, seed=0)
    kind = {"dqn": package.DQN, "ppo": package.PPO, "sac": package.SAC}[agent]
    model = kind("MlpPolicy", vector, seed=0, verbose=0, **config)
    model.learn(config.get("learning_starts", 0) + 2 * num_envs * config.get("n_steps", 16))

    def run() -> float:
        before = model.num_timesteps
        model.learn(steps, reset_num_timesteps=False)
        return float(model.num_timesteps - before)

    return run


WORK: dict[str, Callable[..., Run]] = {
    "gymnax_environment": gymnax_environment,
    "jumanji_environment": jumanji_environment,
    "rejax_train": rejax_train,
    "rejax_compile": rejax_compile,
    "flashbax": flashbax,
    "flashbax_prioritised": flashbax_prioritised,
    "stable_baselines": stable_baselines,
}


def serve(work: Mapping[str, Callable[..., Run]]) -> None:
    """Answers requests on stdin, a JSON line each, until it closes.

    `{"prepare": name, "arguments": {...}}`, `{"time": [name, arguments]}`, `{"forget": true}` and `{"versions": true}`.
    The answer is `{"value": ...}`, for a time `[seconds, units]`; or `{"missing": package}` or `{"error": message}`.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is not an answer
    prepared: dict[str, Run] = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"value": answered(request, work, prepared)}
        except ModuleNotFoundError as error:
            answer = {"missing": (error.name or str(error)).partition(".")[0]}
        except Exception as error:  # a peer that fails is reported, and the benchmark goes on
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}
        print(json.dumps(answer), file=answers, flush=True)


def answered(request: Mapping[str, Any], work: Mapping[str, Callable[..., Run]], prepared: dict[str, Run]) -> Any:
    """The value of one request."""
    if "versions" in request:
        return versions()
    if "forget" in request:
        return prepared.clear()
    name, arguments = request["work"], request["arguments"]
    label = json.dumps([name, arguments], sort_keys=True)
    if label not in prepared:
        prepared[label] = work[name](**arguments)
    if request.get("prepare"):
        return None
    began = time.perf_counter()
    units = prepared[label]()
    return [time.perf_counter() - began, units]


if __name__ == "__main__":
    serve(WORK)
