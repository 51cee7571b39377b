"""Rewards from demonstrations, on tables: `python -m experiments.maxent_irl --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Tree
    from envs.base import Key


@dataclass(frozen=True)
class Config(parts.experts.Shown):
    """Flags of the agent."""

    method: Literal["causal", "path", "projection"] = "causal"
    """Maximum causal entropy, the maximum entropy of paths of 2008, or apprenticeship learning by projection."""
    reward: Literal["state", "action", "network"] = "state"
    """What is learned: a number for each state, for each state and action, or a network of the state."""
    expert: str = "optimal"
    """Who is imitated: one who plans with the task's rules, `optimal` or `soft`, or a file of experiments.collect."""
    demonstrations: run.Count = 200
    """Episodes that are shown; of a file, its first ones."""
    horizon: run.Count = 40
    """Steps of each demonstration that are learned from."""
    learning_rate: run.Positive = 0.05
    """Adam's step size for the reward."""
    hidden: tuple[run.Count, ...] = (32,)
    """Sizes of the layers of a reward that is a network."""
    discount: run.Unit = 0.9
    """Discount γ of later rewards and of later steps of the demonstrations."""
    sweeps: run.Count = 100
    """Sweeps of value iteration for a policy."""
    iterations: run.Count = 10
    """Gradient steps of the reward per update."""
    unroll: run.Count = 40
    """Steps in each environment per update."""
    epsilon: run.Unit = 0.1
    """Probability of a random action while apprenticeship learning explores."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Learn a reward from demonstrations (Ziebart et al., 2008) on a table that is learned too, or an apprentice."""

    factorises = True
    env: str = "bellmax/grid"
    """Task whose observation is a number and whose rules are known, as suite/id."""
    steps: run.Steps = 20_000
    """Environment steps per seed."""
    num_envs: run.Count = 8
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that are no table, experts that there are not, and a discount of 1, since steps are added up.

    Raises:
      ValueError: naming the flag.
    """
    parts.check_tabular(spec, size)
    parts.experts.check(config, spec, size)
    if config.discount >= 1:
        raise ValueError(f"--agent.discount {config.discount}: must be below 1, as discounted steps are added up")


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax.numpy as jnp

    import replay
    from agents.apprenticeship import apprenticeship
    from agents.common import optimisers
    from agents.maxent_irl import Deep, Settings, Table, maxent_irl
    from agents.world import tables

    states, actions = spec.observation.num, spec.action.num

    def expert(key: "Key") -> "Tree":
        rows = parts.experts.episodes(config, spec, key, config.horizon, config.discount)
        return tables.shown(rows, states, actions, config.discount)

    features = jnp.eye(states)
    if config.method == "projection":
        agent = apprenticeship(
            states,
            actions,
            expert,
            features,
            discount=config.discount,
            sweeps=config.sweeps,
            epsilon=config.epsilon,
        )
    else:
        reward = Table(states, actions, config.reward == "action")
        learned = Deep(features, actions, config.hidden) if config.reward == "network" else reward
        settings = Settings(config.discount, config.horizon, config.sweeps, config.method == "causal")
        optimiser = optimisers.adam(config.learning_rate)
        agent = maxent_irl(states, actions, expert, learned, optimiser, settings, config.iterations)
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


PRESETS: run.Presets = {
    "grid": {"env_options": ("slip=0.3",), "steps": 19_200, "eval_every": 3_200, "eval_episodes": 400},
}
"""`grid` is that of docs/results/maxent_irl.md."""

experiment = run.Experiment("maxent_irl", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
