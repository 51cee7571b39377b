"""What `experiments.benchmark` measures of bellmax's components: replays, learning steps and returns.

As in `experiments.benchmarks.ours`, every function returns a `run` that does its work once and returns how many units.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from experiments.benchmarks import worker
from experiments.benchmarks.worker import Run
from experiments.run import Size

if TYPE_CHECKING:
    from agents.base import Key, Sample, Tree


def tupled(config: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as they were before they went through JSON."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


def replay_of(
    kind: str, operations: str, scan: bool, capacity: int, lanes: int, batch: int, seeds: int, calls: int
) -> Run:
    """Calls of a full `replay.uniform` or `replay.prioritised` of transitions; see `worker.replay_calls`."""
    import jax
    import jax.numpy as jnp

    import replay
    from agents.base import Info, Step, TimeStep
    from envs import keys

    storage = {"uniform": replay.uniform, "prioritised": replay.prioritised}[kind](capacity, batch)
    nothing = jnp.zeros(lanes)
    row = Step(TimeStep(nothing.astype(jnp.int8), nothing, nothing, jnp.zeros((lanes, 4))), nothing.astype(jnp.int32))

    def init() -> "Tree":
        full = jax.tree.map(lambda x: jnp.zeros((capacity // lanes, *x.shape), x.dtype), row)
        return storage.add(storage.init(row), full)

    def add(state: "Tree") -> "Tree":
        return storage.add(state, jax.tree.map(lambda x: x[None], row))

    def update(state: "Tree", drawn: "Sample") -> "Tree":
        return storage.feedback(state, drawn.index, Info({}, worker.priorities(batch)))

    calls_of = worker.Calls(init, add, storage.sample, update)
    return worker.replay_calls(calls_of, keys.key(0), operations, scan, seeds, calls)


def learning(config: Mapping[str, Any], draws: bool, num_envs: int, calls: int) -> Run:
    """Learning steps of a Q-learner with flags of `experiments.dqn`, out of a full replay of CartPole's shapes.

    Without `draws` nothing random enters the network: layers have no noise, quantile levels are fixed.
    """
    import jax
    import jax.numpy as jnp

    import envs
    from agents.common import optimisers
    from agents.dqn import Munchausen, dqn
    from envs import keys
    from experiments import dqn as experiment
    from experiments.drivers import base

    task: Any = envs.make("bellmax/cartpole")
    settings = experiment.Config(**tupled(config))
    drawn = experiment.network(settings, task.spec)
    silent = drawn._replace(apply=lambda params, key, *rest: drawn.apply(params, None, *rest))
    agent = dqn(
        drawn if draws else silent,
        optimisers.adam(settings.learning_rate, settings.max_grad_norm, settings.adam_eps),
        objective=experiment.objective(settings),
        target_rate=settings.target_rate,
        double=settings.double,
        munchausen=Munchausen() if settings.munchausen else None,
        noisy=settings.noisy != "none",
    )
    storage = experiment.storage(settings, Size(num_envs, 1, 1_000_000), 1e6)

    def init() -> "tuple[Tree, Tree]":
        _, timestep = jax.vmap(task.reset)(jax.random.split(keys.key(0), num_envs))
        state = agent.init(keys.key(1), timestep)
        row, _ = base.act_row(agent, agent.actor(state), base.begin(agent, num_envs), keys.key(2), timestep)
        row = row._replace(timestep=row.timestep._replace(step_type=row.timestep.step_type + 1))  # within an episode
        rows = jax.tree.map(lambda x: jnp.repeat(x[None], settings.buffer_size // num_envs, axis=0), row)
        return state, storage.add(storage.init(row), rows)

    jitted = jax.jit(lambda *state: base.learn(agent, storage, calls, *state)[:2], donate_argnums=(0, 1))
    held = [jax.block_until_ready(jax.jit(init)())]

    def run() -> float:
        held[0] = jax.block_until_ready(jitted(*held[0], keys.key(3)))
        return calls

    run()
    return run


def critics(number: int, calls: int) -> Run:
    """Updates of SAC with so many critics, on random transitions of HalfCheetah's shapes."""
    import jax
    import jax.numpy as jnp

    from agents.base import Sample, Step, TimeStep
    from envs import keys
    from envs.base import Box, Spec
    from experiments import sac

    spec, rows = Spec("shapes", Box((17,)), Box((6,), -1.0, 1.0)), (2, 256)
    config = sac.Config(critics=number, hidden=(256, 256), batch_size=rows[1])
    agent = sac.make(config, spec, Size(1, 1, 1_000_000)).agent
    seen = jax.random.normal(keys.key(0), (*rows, 17))
    kind = jnp.broadcast_to(jnp.array([[0], [1]], jnp.int8), rows)
    timestep = TimeStep(kind, jnp.ones(rows), jnp.ones(rows), seen)
    sample = Sample(Step(timestep, jax.random.uniform(keys.key(1), (*rows, 6), minval=-1.0), {}))

    def updates(state: "Tree", key: "Key") -> "Tree":
        return jax.lax.scan(lambda s, k: (agent.update(s, k, sample)[0], None), state, jax.random.split(key, calls))[0]

    jitted = jax.jit(updates, donate_argnums=0)
    held = [jitted(agent.init(keys.key(2), jax.tree.map(lambda x: x[0], timestep)), keys.key(3))]

    def run() -> float:
        held[0] = jax.block_until_ready(jitted(held[0], keys.key(3)))
        return calls

    run()
    return run


def returns(name: str, whose: str, calls: int, steps: int = 128, lanes: int = 4096) -> Run:
    """Calls of V-trace ("vtrace") or generalised advantages ("gae") by "agents.losses" or "rlax", vmapped."""
    import jax
    import jax.numpy as jnp
    import rlax

    from agents import losses
    from envs import keys

    k_reward, k_rho, k_value, k_kind = jax.random.split(keys.key(0), 4)
    r_t, v = jax.random.normal(k_reward, (steps, lanes)), jax.random.normal(k_value, (steps + 1, lanes))
    discount_t, rho_tm1 = jnp.full((steps, lanes), 0.99), jnp.exp(0.3 * jax.random.normal(k_rho, (steps, lanes)))
    last = jax.random.bernoulli(k_kind, 0.01, (steps + 1, lanes))
    kind = jnp.where(last, 2, jnp.where(jnp.roll(last, 1, 0), 0, 1)).astype(jnp.int8)
    lane = {
        ("vtrace", "agents.losses"): lambda r, d, rho, v, kind: losses.vtrace(r, d, rho, v, kind, 0.95),
        ("vtrace", "rlax"): lambda r, d, rho, v, kind: rlax.vtrace_td_error_and_advantage(
            v[:-1], v[1:], r, d, rho, jnp.full(steps, 0.95)
        )[:2],
        ("gae", "agents.losses"): lambda r, d, rho, v, kind: losses.gae(r, d, 0.95, v, kind),
        ("gae", "rlax"): lambda r, d, rho, v, kind: rlax.truncated_generalized_advantage_estimation(r, d, 0.95, v),
    }[name, whose]
    jitted = jax.jit(jax.vmap(lane, 1, 1))
    inputs = (r_t, discount_t, rho_tm1, v, kind)
    jax.block_until_ready(jitted(*inputs))

    def run() -> float:
        for _ in range(calls):
            jax.block_until_ready(jitted(*inputs))
        return calls

    return run
