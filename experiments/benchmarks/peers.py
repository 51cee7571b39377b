"""The libraries that `experiments.benchmark` measures bellmax against.

Every function below prepares one piece of work, compiled and warm, and returns a `run` that does it once and returns
how many units it did (environment steps, calls). Nothing of bellmax is imported here, so that a worker can run under
another interpreter, and each library is used the way its own documentation does.
"""

import importlib.metadata
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from experiments.benchmarks.worker import Calls, Run, priorities, replay_calls

if TYPE_CHECKING:
    from gymnax.environments.environment import Environment, EnvParams
    from jax import Array

    from envs.base import Tree


class FiveTuple:
    """A task of gymnax >= 1.0 whose `step` returns the five values of gymnax 0.0.9, which rejax expects."""

    def __init__(self, env: "Environment"):
        self.env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def __deepcopy__(self, memo: object) -> "FiveTuple":
        return self  # rejax copies its configuration; a task has no state

    def step(self, key: "Array", state: "Tree", action: "Array", params: "EnvParams | None" = None) -> tuple:
        """Ends an episode where gymnax terminates or truncates it."""
        observation, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return observation, state, reward, terminated | truncated, info


def gymnax_task() -> "tuple[Environment | FiveTuple, EnvParams]":
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

    def many(key: "Array") -> "Array":
        _, state = jax.vmap(env.reset, (0, None))(jax.random.split(key, lanes), params)

        def body(carry: tuple, t: "Array") -> tuple[tuple, None]:
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

    def many(key: "Array") -> "Array":
        state, _ = env.reset(jax.random.split(key, lanes))

        def body(carry: tuple, t: "Array") -> tuple[tuple, None]:
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
    """Calls of a full flat buffer of transitions; see `worker.replay_calls`."""
    import flashbax
    import jax
    import jax.numpy as jnp

    buffer = flashbax.make_flat_buffer(capacity, batch, batch, add_batch_size=lanes)
    row = flashbax_row(lanes)

    def init() -> "Tree":
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

    def init() -> "Tree":
        full = jax.tree.map(lambda x: jnp.repeat(x, capacity // lanes, axis=1), row)
        return buffer.add(buffer.init(jax.tree.map(lambda x: x[0, 0], row)), full)

    def update(state: "Tree", drawn: "Tree") -> "Tree":
        return buffer.set_priorities(state, drawn.indices, priorities(batch))

    calls_of = Calls(init, lambda s: buffer.add(s, row), buffer.sample, update)
    return replay_calls(calls_of, jax.random.key(0), operations, scan, seeds, calls)


def flashbax_row(lanes: int) -> "dict[str, Array]":
    """A row of transitions of CartPole, as bellmax stores them."""
    import jax.numpy as jnp

    numbers = {"observation": jnp.zeros((lanes, 4)), "reward": jnp.zeros(lanes), "discount": jnp.zeros(lanes)}
    return {**numbers, "action": jnp.zeros(lanes, jnp.int32), "step_type": jnp.zeros(lanes, jnp.int8)}


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


def orlax_updates(agent: str, calls: int, transitions: int, batch_size: int, hidden: Sequence[int]) -> Run:
    """Updates of one seed of ORLax's, as its runner makes them, from random numbers of HalfCheetah's shapes."""
    import jax
    import numpy as np
    import orlax

    rng = np.random.default_rng(0)
    normal = lambda *shape: np.asarray(rng.normal(size=shape), np.float32)  # noqa: E731
    buffer = orlax.ReplayBuffer(transitions)
    actions = rng.uniform(-1, 1, (transitions, 6)).astype(np.float32)
    names = ("observations", "actions", "rewards", "next_observations", "dones")
    columns = (normal(transitions, 17), actions, normal(transitions), normal(transitions, 17), np.zeros(transitions))
    buffer.load_dataset(dict(zip(names, columns, strict=True)))
    kind = {"iql": orlax.IQL, "cql": orlax.CQL, "td3_bc": orlax.TD3BC}[agent]
    training = orlax.TrainingCfg(agent, "none", batch_size=batch_size, wandb_mode="disabled")
    model = orlax.ModelCfg(hidden_dims=tuple(hidden))
    algorithm = kind(17, 6, training, model, orlax.AlgoCfg(alpha=5.0 if agent == "cql" else 1.0))
    held = [(algorithm.init(jax.random.PRNGKey(0)), jax.random.PRNGKey(1))]

    def run() -> float:
        state, key = held[0]
        for _ in range(calls):
            key, k_batch, k_update = jax.random.split(key, 3)
            state, _ = algorithm.update(state, buffer.sample(batch_size, k_batch), k_update)
        held[0] = jax.block_until_ready((state, key))
        return calls

    run()
    return run


def rllib_train(
    algorithm: str, env: str, runners: int, num_envs: int, unroll: int, steps: int, config: Mapping[str, Any]
) -> Run:
    """Training by "IMPALA" or "APPO" of RLlib with actors on this machine, by the defaults of its new stack."""
    import gymnasium
    import ray
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.tune.registry import register_env

    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False, num_cpus=runners + 2)
    kind = getattr(import_module(f"ray.rllib.algorithms.{algorithm.lower()}"), f"{algorithm}Config")
    register_env(env, lambda options: gymnasium.make(env))
    lanes = {"num_env_runners": runners, "num_envs_per_env_runner": num_envs, "rollout_fragment_length": unroll}
    chosen = (
        kind()
        .environment(env)
        .env_runners(**lanes)
        .learners(num_learners=0)
        .rl_module(model_config=DefaultModelConfig(**config))
        .training(train_batch_size_per_learner=runners * num_envs * unroll)
        .reporting(min_time_s_per_iteration=0)
    )
    built = chosen.build_algo()
    built.train()
    before = [0.0]

    def run() -> float:
        begun = before[0]
        while before[0] < begun + steps:
            before[0] = float(built.train()["num_env_steps_sampled_lifetime"])
        return before[0] - begun

    run()
    return run


WORK: dict[str, Callable[..., Run]] = {
    "rllib_train": rllib_train,
    "gymnax_environment": gymnax_environment,
    "jumanji_environment": jumanji_environment,
    "rejax_train": rejax_train,
    "rejax_compile": rejax_compile,
    "flashbax": flashbax,
    "flashbax_prioritised": flashbax_prioritised,
    "stable_baselines": stable_baselines,
    "orlax_updates": orlax_updates,
}
