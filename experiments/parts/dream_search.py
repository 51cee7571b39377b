"""The stage of `experiments.world_models` that searches for a controller in the model's dreams, and plays it awake."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from experiments import reports, run
from experiments.parts import dream_networks

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from agents.world_models import Parts as WorldParts
    from envs.base import Key
    from experiments.world_models import Config, Flags

GENERATIONS = 10
"""Of a chunk, after which the search is saved."""


def controller(config: "Config", spec: "run.Either") -> "tuple[run.Network, Tree, bool]":
    """The linear policy, its parameters' shapes, and whether actions are discrete."""
    import jax

    import networks
    from envs import keys
    from envs.base import Box, Discrete, blank

    discrete = isinstance(spec.action, Discrete)
    head: Any = networks.QValues(spec.action.num) if discrete else networks.DeterministicPolicy(spec.action.shape[0])
    seen, example = spec.observation, blank(spec, 1).observation
    if config.reads != "observation":
        seen = Box((config.latent + (config.memory_size if config.reads == "both" else 0),))
        example = jax.numpy.zeros((1, *seen.shape))
    policy = networks.q_network(networks.Torso(seen, (), None), head)
    return policy, jax.eval_shape(policy.init, keys.key(0), example), discrete


def dream(config: "Flags", folder: Path) -> dict[str, Any]:
    """CMA-ES in dreams for as many generations as the flags say, saved in `folder / "dream"` as it goes.

    Returns:
      The content of its summary.json: of each seed, the mean return of the controller found, dreaming and awake.
    """
    import jax
    import jax.numpy as jnp
    from jax.flatten_util import ravel_pytree

    from agents import world_models
    from agents.cma_es import adaptation
    from envs import keys
    from experiments.run.checkpoint import Checkpointer

    place = folder / "dream"
    if (place / "summary.json").exists():
        return reports.files.read_json(place, "summary.json")
    agent, env = config.agent, run.prepare.environment(config)
    parts = dream_networks.world(replace(agent, model=str(folder)), env.spec)
    policy, shapes, _ = controller(agent, env.spec)
    zeros, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    strategy = adaptation(zeros.size, agent.population, sigma=agent.sigma)
    actions, steps = dream_networks.unit_actions(env.spec), env.spec.time_limit or config.dream_steps

    def starts(key: "Key", number: int) -> "Array":
        _, timestep = jax.vmap(env.reset)(jax.random.split(key, number))
        seen = world_models.call(parts.vision, parts.params["vision"], timestep.observation, method="encode")
        return seen.mean

    def returns(key: "Key", candidates: "Array", number: int) -> "Array":
        k_start, k_dream = jax.random.split(key)
        settings: dict[str, Any] = {"steps": steps, "temperature": config.temperature, "blind": agent.reads == "vision"}
        begun = starts(k_start, number)
        return world_models.dreamt(parts, policy, unravel, actions, k_dream, begun, candidates, **settings)

    def generation(state: "Tree", key: "Key") -> "tuple[Tree, Array]":
        k_ask, k_dream = jax.random.split(key)
        candidates = strategy.ask(state, k_ask)
        fitness = returns(k_dream, candidates, agent.episodes)
        return strategy.tell(state, candidates, fitness), jnp.mean(fitness)

    everyone = keys.key(config.seed + jnp.arange(config.seeds))
    chunk = jax.jit(jax.vmap(lambda state, k: jax.lax.scan(generation, state, jax.random.split(k, GENERATIONS))))
    begun = jax.vmap(lambda key: strategy.init(zeros))(everyone)
    chunks = -(-config.generations // GENERATIONS)
    with Checkpointer(place / "checkpoints", keep=1) as checkpoints:
        done, state = checkpoints.restore(jax.eval_shape(lambda: begun), {}) or (0, begun)
        for i in range(done, chunks):
            state, fitness = chunk(state, jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(everyone))
            checkpoints.save(i + 1, state, {})
            if not config.quiet:
                print(f"dream {i + 1}/{chunks}: returns {fitness[:, -1]}")
    means = jax.vmap(strategy.mean)(state)
    late = jax.vmap(lambda key: jax.random.fold_in(key, 7_000))(everyone)
    dreaming_returns = jax.jit(jax.vmap(lambda key, x: returns(key, x[None], config.eval_episodes)[0]))(late, means)
    awake = jax.jit(jax.vmap(lambda key, x: play(config, env, parts, policy, shapes, key, x)))(late, means)
    summary = {
        "dream_returns": dreaming_returns.tolist(),
        "eval_returns": awake.tolist(),
        "temperature": config.temperature,
        "generations": chunks * GENERATIONS,
        "env_steps": 0,  # of the task, which is played in to judge alone
    }
    run.records.write_json(place / "summary.json", summary)
    return summary


def play(
    config: "Flags",
    env: Any,
    parts: "WorldParts",
    policy: "run.Network",
    shapes: "Tree",
    key: "Key",
    x: "Array",
) -> "Array":
    """The mean return of a controller `x[n]` over the episodes of an evaluation, in the task itself."""
    import jax
    import jax.numpy as jnp

    from agents import world_models
    from agents.cma_es import cma_es
    from agents.common import wrappers
    from agents.common.policy_search import Actor
    from envs.base import Discrete

    discrete, blind = isinstance(env.spec.action, Discrete), config.agent.reads == "vision"
    inner = cma_es(policy, shapes, discrete=discrete)
    agent = world_models.remembering(inner, parts, dream_networks.unit_actions(env.spec), blind)
    agent = agent if discrete else wrappers.unit_actions(agent, env.spec.action)
    actor, lanes = Actor(x[None], x, jnp.int32(0)), config.eval_episodes
    state, timestep = jax.vmap(env.reset)(jax.random.split(key, lanes))

    def step(carry: "Tree", _: None) -> "tuple[Tree, Array]":
        state, timestep, memory, going = carry
        action, memory, _ = agent.act(actor, key, memory, timestep, False)
        state, timestep = jax.vmap(env.step)(state, action)
        paid = going * timestep.reward
        return (state, timestep, memory, going * ~timestep.last()), paid

    begun = (state, timestep, agent.begin(lanes), jnp.ones(lanes))
    _, paid = jax.lax.scan(step, begun, None, env.spec.time_limit or config.dream_steps)
    return jnp.mean(jnp.sum(paid, 0))
