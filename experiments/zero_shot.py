"""Zero-shot task generalisation, by analogy and by lists: `python -m experiments.zero_shot --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Key, Tree
    from envs.base import Subtasks, Vocabulary
    from networks.instructions import Skill, Subtask

    class Listed(run.Counted):
        """Of a task that is a list of instructions."""

        subtasks: Subtasks
        vocabulary: Vocabulary


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    lists: bool = False
    """Learn a meta controller of lists of instructions, once skills have been learned on single ones."""
    embedding: Literal["table", "parts", "lstm", "bag"] = "table"
    """What embeds subtasks: a table with a row for each; a network of their one-hot parts; or what an LSTM or a bag of
    words makes of their sentences."""
    embedding_size: run.Count = 16
    """Numbers of the embedding of a subtask."""
    analogy: run.NonNegative = 1.0
    """Weight ξ of the losses of analogies."""
    dissimilar: run.NonNegative = 1.0
    """Weight ρ₁, in the analogy loss, of keeping apart pairs that are no analogy."""
    different: run.NonNegative = 1.0
    """Weight ρ₂, in the analogy loss, of keeping two different subtasks apart."""
    margin: run.NonNegative = 1.0
    """Distance τ between embeddings from which the analogy loss takes them for apart."""
    teacher_updates: run.Whole = 1000
    """Updates of each teacher, before the first step; 0 for no teachers."""
    teacher_envs: run.Count = 16
    """Environments of each teacher."""
    distil_updates: run.Whole = 300
    """Updates of the skills in which teachers are distilled; the later ones are those of an actor-critic."""
    skill_updates: run.Count = 2000
    """Updates of the skills before the first step, where tasks are lists."""
    skill_envs: run.Count = 64
    """Environments in which the skills are learned, where tasks are lists."""
    skill_unroll: run.Count = 16
    """Steps in each environment per update of skills and teachers, where tasks are lists."""
    learning_rate: run.Positive = 2e-3
    """Step size of Adam, of teachers and skills, or with lists of the meta controller."""
    anneal: bool = True
    """Lower the step size of the controller of lists to 0 linearly over the run."""
    max_grad_norm: run.Limit = 1.0
    """Global norm that gradients are clipped to."""
    hidden: run.Count = 64
    """Units of each layer."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards, per step."""
    gae_lambda: run.Unit = 0.95
    """The λ of the generalised advantage."""
    value_cost: run.NonNegative = 0.5
    """Weight of the values' loss."""
    entropy_cost: run.NonNegative = 0.01
    """Weight of the entropy."""
    update_cost: run.NonNegative = 0.001
    """Reward that deciding anew costs the controller of lists."""
    always: bool = False
    """Let the controller of lists decide anew in every step."""
    encoder: Literal["lstm", "bag"] = "bag"
    """Network that reads a line of a list."""
    unroll: run.Count = 16
    """Steps in each environment per update."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train skills that generalise by analogy, or a meta controller of them (Oh et al., 2017)."""

    env: str = "bellmax/instruction-grid"
    """Task, as suite/id, that is a list of instructions; `python -m experiments.list` prints the suites."""
    env_options: tuple[str, ...] = ("pairs=seen",)
    """Options of the task, such as `name=value`."""
    eval_env_options: tuple[str, ...] = ("pairs=unseen",)
    """Options that the task has besides, or instead, when policies are evaluated."""
    num_envs: run.Count = 64
    """Environments (lanes) per seed."""
    steps: run.Steps = 2_000_000
    """Environment steps per seed."""
    eval_episodes: run.Count = 128
    """Episodes that an evaluation plays, per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that are no lists of instructions.

    Raises:
      ValueError: naming the flag.
    """
    del config, size
    parts.discrete_actions(spec, "zero_shot")
    if spec.subtasks is None or spec.vocabulary is None:
        raise ValueError(f"--env {spec.name}: zero_shot needs lists of instructions, such as bellmax/instruction-grid")


def make(config: Config, spec: "Listed", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import jax

    import replay
    from agents.common import optimisers
    from agents.common.practice import practised
    from agents.zero_shot import zero_shot
    from networks.instructions import Meta

    words = len(spec.vocabulary.words)
    learned, subtask, skill = skilled(config, spec)
    if not config.lists:
        return run.Parts(learned, replay.on_policy(config.unroll), run.Schedule(config.unroll))
    practice = practised(
        learned,
        spec.subtasks.single(None),
        lanes=config.skill_envs,
        rows=config.skill_unroll,
        updates=config.skill_updates,
    )
    updates = size.steps / (config.unroll * size.num_envs * size.devices)
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = zero_shot(
        Meta(spec.subtasks, words, config.hidden, kind=config.encoder, always=config.always),
        subtask,
        skill,
        lambda key: jax.lax.stop_gradient(practice(key).params),
        optimisers.adam(rate, config.max_grad_norm),
        discount=config.discount,
        lambda_=config.gae_lambda,
        value_cost=config.value_cost,
        entropy_cost=config.entropy_cost,
        update_cost=config.update_cost,
    )
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


def skilled(config: Config, spec: "Listed") -> "tuple[run.Agent, Subtask, Skill]":
    """The agent that learns skills, and the networks of subtasks and of skills."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    import networks
    from agents.a2c import a2c
    from agents.common import optimisers
    from agents.common.practice import practised
    from agents.skills import Analogies, Teaching, skills
    from envs import keys
    from networks.instructions import Skill, Subtask

    subtasks, actions = spec.subtasks, spec.action.num
    costs = {
        "discount": config.discount,
        "lambda_": config.gae_lambda,
        "value_cost": config.value_cost,
        "entropy_cost": config.entropy_cost,
    }
    optimiser = optimisers.adam(config.learning_rate, config.max_grad_norm)
    torso = networks.Torso({"things": spec.observation["things"]}, (config.hidden,) * 2)
    teacher = networks.actor_critic(torso, networks.CategoricalPolicy(actions), networks.Value())
    seen = jnp.asarray(np.flatnonzero(subtasks.seen), jnp.int32)

    def one(key: "Key", which: "Array") -> "Tree":
        sizes = {"lanes": config.teacher_envs, "rows": config.skill_unroll, "updates": config.teacher_updates}
        return practised(a2c(teacher, optimiser, **costs), subtasks.single(which), **sizes)(key).params

    def taught(key: "Key") -> "Tree":
        return jax.vmap(one)(keys.split(key, seen.size), seen)

    analogies = Analogies(config.analogy, config.dissimilar, config.different, config.margin, config.margin)
    subtask = Subtask(subtasks, config.embedding_size, len(spec.vocabulary.words), config.embedding)
    skill = Skill(actions, config.hidden)
    teaching = Teaching(teacher, taught, config.distil_updates) if config.teacher_updates else None
    return skills(subtasks, subtask, skill, optimiser, teaching, analogies=analogies, **costs), subtask, skill


LISTS = {"agent.lists": True, "num_envs": 32, "steps": 1_500_000}
PRESETS: run.Presets = {
    "skills": {},
    "lists": {
        **LISTS,
        "env_options": ("pairs=seen", "count=2"),
        "eval_env_options": ("count=4", "pays=whole"),
    },
    "events": {**LISTS, "env_options": ("pairs=seen", "count=2", "events=0.05"), "eval_env_options": ("count=4",)},
}
"""Skills, judged on the pairs that were held out; lists of two instructions, judged on lists of four; and these with
random events."""

experiment = run.Experiment("zero_shot", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
