"""Cross-domain perceptual rewards, learned from examples: `python -m experiments.cdpr --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.base import Array, Key, Tree
    from agents.cdpr import Examples
    from envs.base import Space


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    around: Literal["dqn", "a2c", "ppo"] = "dqn"
    """Agent that is paid, by the name of its command."""
    inner: tuple[str, ...] = ()
    """Flags of the agent that `around` names, as name=value, such as learning-rate=1e-3 hidden=64,64; the `--help` of
    its own command shows them as `--agent.`. DQN has n-step=1."""
    sign: str = "sign"
    """Entry of the observation that tells the goal in the other domain."""
    examples: run.Count = 20_000
    """States and goals that the towers learn from, of the task as its name alone makes it."""
    tower_updates: run.Whole = 12_000
    """Batches that the towers learn from before the agent begins; 0 leaves them as they were drawn."""
    tower_batch: run.Pair = 128
    """Examples of a batch, of which all states are compared with all goals."""
    tower_learning_rate: run.Positive = 3e-3
    """Step size of the towers, which falls linearly to 0."""
    tower_hidden: tuple[run.Count, ...] = (128, 128)
    """Units of each layer of a tower; at least one layer."""
    features: run.Count = 8
    """Numbers by which states and goals are compared."""
    labels: Literal["graded", "same"] = "graded"
    """What examples say of a state and a goal: how far apart they are, or whether they are the same."""
    margin: run.Positive = 1.0
    """Distance that embeddings of different states and goals are to keep, where `labels` is `same`."""
    form: Literal["distance", "likeness"] = "distance"
    """Reward: minus the distance of the towers, or e to that power."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train an agent on rewards between domains (Edwards et al., 2017), such as DQN on a grid whose goals are signs."""

    env: str = "bellmax/sign-grid"
    """Task with goals, one entry of whose observations tells them in another domain, as suite/id."""
    num_envs: run.Count = 8
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def seen(config: Config, spec: "run.Spec") -> "run.Spec":
    """The task as the agent within sees it."""
    shown = {name: spec.observation[name] for name in ("observation", config.sign)}
    return spec._replace(observation=shown, goals=None)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without goals or such an entry, and what the agent within refuses.

    Raises:
      ValueError: naming the flag.
    """
    import envs
    from envs.base import Box, Discrete, Environment

    if spec.goals is None or not isinstance(spec.observation, dict):
        raise ValueError(f"--env {spec.name}: needs a task with goals, such as bellmax/sign-grid")
    if not (isinstance(spec.observation["desired_goal"], Box) and len(spec.observation["desired_goal"].shape) == 1):
        told = f"but they are {spec.observation['desired_goal']}"
        raise ValueError(f"--env {spec.name}: goals must be vectors, which have distances, {told}")
    known = [name for name in spec.observation if name not in ("observation", "achieved_goal", "desired_goal")]
    if config.sign not in known:
        told = f"{spec.name} has these entries beside states and goals: {', '.join(known) or 'none'}"
        raise ValueError(f"--agent.sign {config.sign}: {told}")
    plain = envs.make(spec.name)
    if not isinstance(plain, Environment):
        raise ValueError(f"--env {spec.name}: examples need a task in graph, such as bellmax/sign-grid")
    if str(plain.spec.observation) != str(spec.observation):
        told = f"examples are of {spec.name} without them, whose observations are {plain.spec.observation}"
        raise ValueError(f"--env-options: {told}")
    if not isinstance(spec.action, Discrete):
        parts.unit_box(spec, "cdpr, which draws actions at random for examples,")
    if not config.tower_hidden:
        raise ValueError("--agent.tower-hidden (empty): must be one layer or more")
    _, own = parts.around.check_inner(config, seen(config, spec), size)
    if getattr(own, "n_step", 1) > 1:
        raise ValueError(f"--agent.inner n-step={own.n_step}: the towers pay for single steps; must be 1")


def examples(config: Config, spec: "run.Spec", key: "Key") -> "Examples":
    """Examples `[M, ...]`: goals of fresh episodes, and states after some steps of random play in these."""
    import jax

    import envs
    from agents.cdpr import Examples

    env: Any = envs.make(spec.name)
    k_reset, k_act = jax.random.split(key)
    number, steps = config.examples, min(10, (env.spec.time_limit or 10) - 1)
    state, timestep = jax.vmap(env.reset)(jax.random.split(k_reset, number))

    def step(both: "Tree", key: "Key") -> "tuple[Tree, None]":
        action = random_action(key, env.spec.action, number)
        return jax.vmap(env.step)(both[0], action), None

    (_, after), _ = jax.lax.scan(step, (state, timestep), jax.random.split(k_act, steps))
    told = timestep.observation
    return Examples(
        after.observation["observation"], after.observation["achieved_goal"], told[config.sign], told["desired_goal"]
    )


def random_action(key: "Key", space: "Space", number: int) -> "Array":
    """Actions `[number]`, uniform."""
    import jax

    from envs.base import Discrete

    if isinstance(space, Discrete):
        return jax.random.randint(key, (number,), 0, space.num)
    return jax.random.uniform(key, (number, *space.shape), minval=space.low, maxval=space.high)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    from agents import cdpr
    from agents.common import optimisers

    experiment, own = parts.around.inner(config)
    shown = seen(config, spec)
    made = experiment.make(own, shown, size)
    each = (config.features, config.tower_hidden)
    towers = cdpr.Towers(*(networks.Tower(shown.observation[name], *each) for name in ("observation", config.sign)))
    agent = cdpr.perceptual(
        made.agent,
        towers,
        optimisers.adam(parts.linear(config.tower_learning_rate, 0.0, config.tower_updates)),
        lambda key: examples(config, spec, key),
        cdpr.Learning(config.tower_updates, config.tower_batch, config.labels, config.margin),
        form=config.form,
        sign=config.sign,
    )
    return made._replace(agent=agent)


PRESETS: run.Presets = {
    "sign-grid": {
        "env": "bellmax/sign-grid",
        "steps": 60_000,
        "agent.inner": (
            *("hidden=128,128", "learning-rate=1e-3", "discount=0.9", "batch-size=128", "updates=8"),
            *("buffer-size=20000", "warmup=1000", "epsilon-fraction=0.3", "target-rate=0.02"),
        ),
    },
}
"""`sign-grid` is for `bellmax/sign-grid`, whichever goals are drawn."""

experiment = run.Experiment("cdpr", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
