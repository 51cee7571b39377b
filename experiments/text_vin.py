"""Transfer between games by descriptions of their entities, with text-VIN: `python -m experiments.text_vin --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from agents.base import Array, Tree

OBSERVED = ("descriptions", "here", "map")


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    text: Literal["bag", "lstm", "none"] = "bag"
    """What reads the descriptions: the mean of the words' embeddings, an LSTM, or nothing."""
    text_size: run.Count = 16
    """Size of the vector that the encoder makes of a description."""
    numbers: run.Whole = 8
    """Length of the vector for the number of an entity, which other games have no use for; 0 for none."""
    iterations: run.Whole = 5
    """Iterations K of the planner; 0 for none."""
    channels: run.Count = 8
    """Channels of the planner's q."""
    reactive: run.Whole = 64
    """Size of the layer that sees what lies around the agent; 0 for none."""
    teacher: str = ""
    """A run folder of this command whose policy is mimicked in place of Q-learning (actor-mimic)."""
    which: Literal["best", "last"] = "last"
    """Which policy of the teacher's run is mimicked."""
    temperature: run.Positive = 0.1
    """Temperature of the softmax that makes a policy of the teacher's values."""
    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.9
    """Discount γ of later rewards, per step."""
    batch_size: run.Count = 64
    """Transitions that an update learns from."""
    buffer_size: run.Count = 50_000
    """Transitions that the replay keeps."""
    warmup: run.Whole = 2_000
    """Environment steps of random actions before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 4
    """Updates that are made in a learning phase."""
    target_period: run.Count = 200
    """Updates between copies of the network into the target network."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: run.Unit = 0.05
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.3
    """Part of all steps over which the probability of a random action decays, linearly."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train text-VIN (Narasimhan et al., 2018) on a game whose entities are described, to be evaluated on another."""

    env: str = "bellmax/entity-games"
    """Task with a map, a place on it and descriptions; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks without descriptions, flags that do not go together, and a replay that cannot be built.

    Raises:
      ValueError: naming the flag.
    """
    seen = tuple(sorted(spec.observation)) if isinstance(spec.observation, dict) else ()
    parts.discrete_actions(spec, "text_vin")
    if seen != OBSERVED or spec.vocabulary is None:
        raise ValueError(
            f"--env {spec.name}: text_vin needs observations of {', '.join(OBSERVED)}, as bellmax/entity-games has"
        )
    if not config.iterations and not config.reactive:
        raise ValueError("--agent.iterations 0: with --agent.reactive 0 nothing is left; one of them must be positive")
    if config.text == "none" and not config.numbers:
        raise ValueError("--agent.numbers 0: with --agent.text none entities look alike; one of them must be given")
    parts.check_replay(config, size, 2)
    if config.teacher:
        teacher(config, spec)


def network(config: Config, spec: Any) -> "run.Network":
    """The Q-network that the flags describe."""
    import networks
    from networks import entities, text

    words = len(spec.vocabulary.words)
    reader = None if config.text == "none" else text.encoder(config.text, words, config.text_size)
    described = entities.Described(int(spec.observation["map"].high), reader, config.numbers)
    torso = entities.EntityPlanner(described, config.iterations, config.channels, reactive=config.reactive)
    return networks.q_network(torso, networks.QValues(spec.action.num))


def teacher(config: Config, spec: "run.Spec") -> "Callable[[Tree], Array]":
    """The values of the run that is mimicked, `(observation[T, N]) -> [T, N, A]`.

    Raises:
      ValueError: naming the flag.
    """
    import jax
    import jax.numpy as jnp

    try:
        loaded = run.load(config.teacher)
        actors = loaded.actors(config.which)
    except ValueError as error:
        raise ValueError(f"--agent.teacher {error}") from None
    theirs = loaded.env.spec
    if loaded.experiment.name != "text_vin" or str(theirs.observation) != str(spec.observation):
        raise ValueError(
            f"--agent.teacher {config.teacher}: is a run of {loaded.experiment.name} on {theirs.name} with "
            f"observations of {theirs.observation}; must be one of text_vin with {spec.observation}"
        )
    params = jax.tree.map(lambda x: jnp.asarray(x[0]), actors.params)
    net = network(loaded.flags.agent, spec)

    def values(observation: "Tree") -> "Array":
        first = jnp.zeros(observation["map"].shape[:2], bool)
        return net.apply(params, None, (), observation, first)[0]

    return values


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.actor_mimic import mimicking
    from agents.common import optimisers
    from agents.dqn import dqn

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    net = network(config, spec)
    agent = dqn(
        net,
        optimisers.adam(config.learning_rate, config.max_grad_norm),
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        target_period=config.target_period,
        loss_of=mimicking(net, teacher(config, spec), config.temperature) if config.teacher else None,
    )
    buffer, batch = parts.shares(config, size)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(agent, replay.uniform(buffer, batch), schedule)


PRESETS: run.Presets = {
    "transfer": {
        "steps": 150_000,
        "eval_every": 50_000,
        "eval_episodes": 500,
        "env_options": ("family=a",),
        "eval_env_options": ("family=b",),
    }
}
"""`transfer` is that of docs/results/text_vin.md: games of one family are learned, and evaluations are first returns in
the other, of which nothing has been learned."""

experiment = run.Experiment("text_vin", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
