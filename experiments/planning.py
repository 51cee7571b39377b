"""Planning with a true or a learned model (PETS): `python -m experiments.planning --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.world.models import Model
    from agents.world.planning import Planner


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    planner: Literal["cem", "mppi", "shooting", "mcts", "monte-carlo"] = "cem"
    """Cross-entropy method, MPPI, random plans, tree search, or flat Monte-Carlo search."""
    model: Literal["true", "learned"] = "true"
    """The task's own rules, or an ensemble that is learned from what was tried, as in PETS."""
    reward: Literal["known", "learned"] = "known"
    """Reward of what a learned model imagines: the task's own, which PETS takes for granted, or the model's."""
    corrupt: run.Unit = 0.0
    """Probability with which each cell of a frame that the true model imagines is wrong."""
    horizon: run.Count = 25
    """Steps of a plan or of a rollout."""
    population: run.Count = 200
    """Number of plans in an iteration, 400 in PETS; in Monte-Carlo search rollouts of each action."""
    elites: run.Count = 20
    """Plans of an iteration that the cross-entropy method goes on from; 40 in PETS."""
    iterations: run.Count = 3
    """Iterations of the cross-entropy method per step; 5 in PETS."""
    temperature: run.Positive = 10.0
    """The κ of MPPI, by which the best plans outweigh others."""
    smoothing: run.Unit = 0.7
    """Smoothing β of MPPI's noise, the weight of the newest."""
    simulations: run.Count = 100
    """Simulations of the tree search per step."""
    discount: run.Unit = 1.0
    """Discount γ of what plans are worth."""
    members: run.Count = 5
    """Number of networks in the learned ensemble."""
    particles: run.Count = 5
    """Rollouts of each plan in the ensemble, a multiple of `members`; 20 in PETS."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the dense layers of the learned networks."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for the model."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that the model's gradients are clipped to, without which it hardly learns from new kinds of rows."""
    batch_size: run.Count = 64
    """Transitions per update of each network."""
    buffer_size: run.Count = 50_000
    """Transitions that the replay keeps."""
    unroll: run.Count = 201
    """Steps between learning phases: an episode of the swing-up, and the row that opens the next."""
    updates: run.Count = 5_000
    """Updates of a learned model per learning phase."""
    shuffle_arrivals: bool = False
    """Ablation of PETS: interchange what a learned model learns that steps arrive at."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Plan at every step; with a learned model, which is learned as the agent goes (Chua et al., 2018)."""

    env: str = "bellmax/cartpole-swingup"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 402
    """Environment steps that each seed trains for."""
    num_envs: run.Count = 1
    """Environments (lanes) per seed."""
    eval_episodes: run.Count = 8
    """Episodes that an evaluation plays, per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, planners of other actions, and tasks that have no such model.

    Raises:
      ValueError: naming the flag.
    """
    from agents.world import planning
    from envs.base import Box, MultiDiscrete

    if isinstance(spec.action, MultiDiscrete):
        raise ValueError(
            f"--env {spec.name}: planners need discrete or continuous actions, but the task's are {spec.action}"
        )
    if isinstance(spec.action, Box):
        try:
            planning.check_bounded(spec.action)
        except ValueError as error:
            raise ValueError(f"--env {spec.name}: {error}") from error
    if config.planner == "cem" and config.elites > config.population:
        raise ValueError(f"--agent.elites {config.elites}: must be from 1 to --agent.population {config.population}")
    if config.model == "true":
        if config.shuffle_arrivals:
            raise ValueError("--agent.shuffle-arrivals: for --agent.model learned only")
        parts.worlds.check_exact(spec, config.corrupt)
    else:
        check_learned(config, spec, size)
    continuous = isinstance(spec.action, Box)
    if (config.planner in ("cem", "mppi")) != continuous and config.planner != "shooting":
        allowed = "cem, mppi, shooting" if continuous else "mcts, monte-carlo, shooting"
        raise ValueError(f"--agent.planner {config.planner}: not for the actions of {spec.name}; allowed: {allowed}")


def check_learned(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """The same for flags of a learned model.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    if config.corrupt:
        raise ValueError(f"--agent.corrupt {config.corrupt}: for --agent.model true only")
    if config.particles % config.members:
        raise ValueError(
            f"--agent.particles {config.particles}: must be a multiple of --agent.members {config.members}"
        )
    if not isinstance(spec.observation, Box) or len(spec.observation.shape) != 1:
        raise ValueError(f"--env {spec.name}: the model needs vectors, but observations are {spec.observation}")
    size.per_device(config.batch_size, "agent.batch_size")
    buffer = size.per_device(config.buffer_size, "agent.buffer_size")
    parts.check_buffer(buffer, size.num_envs, 2)
    if config.reward == "known":
        parts.worlds.check_reward(spec)


def planner(config: Config, spec: "run.Either", model: "Model", particles: int) -> "Planner":
    """The planner that is asked for, of the task's actions."""
    from agents.world import planning, tree_search

    actions = spec.action
    sizes: tuple[Any, ...]
    # Where two players move in turn, what follows a move is worth the opposite to who made it.
    discount = -config.discount if spec.rules and spec.rules.turns else config.discount
    shared: dict[str, Any] = {"particles": particles, "discount": discount}
    if config.planner == "cem":
        sizes = (config.horizon, config.population, config.elites, config.iterations)
        return planning.cem(model, actions, *sizes, **shared)
    if config.planner == "mppi":
        sizes = (config.horizon, config.population, config.temperature, config.smoothing)
        return planning.mppi(model, actions, *sizes, **shared)
    if config.planner == "shooting":
        return planning.random_shooting(model, actions, config.horizon, config.population, **shared)
    if config.planner == "mcts":
        return tree_search.mcts(model, actions, config.simulations, config.horizon, discount)
    return tree_search.monte_carlo(model, actions, config.horizon, config.population, discount)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers, wrappers
    from agents.world import models, planning
    from agents.world.dynamics import ensemble, shuffled

    if config.model == "true":
        model = parts.worlds.exact(spec, config.corrupt)
        agent = planning.mpc(planner(config, spec, model, 1), spec.action)
        return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))
    buffer = size.per_device(config.buffer_size, "agent.buffer_size")
    batch = size.per_device(config.batch_size, "agent.batch_size") * config.members
    optimiser = optimisers.adam(config.learning_rate, config.max_grad_norm)
    learner = ensemble(
        spec.action, optimiser, sizes=config.hidden, members=config.members, sampled=True,
        ends=spec.name != "bellmax/cartpole-swingup",
    )  # fmt: skip
    learner = shuffled(learner, "arrivals") if config.shuffle_arrivals else learner
    model = models.paying(learner.model, parts.worlds.reward(spec)) if config.reward == "known" else learner.model
    agent = planning.mpc(planner(config, spec, model, config.particles), spec.action, learner)
    return run.Parts(
        wrappers.as_floats(agent, spec.observation),
        replay.uniform(buffer, batch),
        run.Schedule(config.unroll, config.updates),
    )


experiment = run.Experiment("planning", Flags, check, make)
main = experiment.main

if __name__ == "__main__":
    main()
