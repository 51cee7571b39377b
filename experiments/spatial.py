"""Instructions about places on a map, by values of all its cells: `python -m experiments.spatial --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from envs.base import Vocabulary

    class Told(run.Counted):
        """Of a task that shows a text."""

        vocabulary: Vocabulary


OBSERVED = ("here", "instruction", "map")


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    network: Literal["full", "local", "global", "uvfa", "cnn-lstm"] = "full"
    """What values the cells: kernels and slopes that the text makes; kernels alone; slopes alone; a dot product of
    embedded cells and text (a UVFA of text); or dense layers after convolutions of the map and an LSTM of the text."""
    encoder: Literal["lstm", "bag"] = "lstm"
    """What reads the text: an LSTM, or the mean of its words' embeddings."""
    text_size: run.Count = 30
    """Size of the vector that the encoder makes of the instruction."""
    embedding: run.Count = 7
    """Numbers for each kind of cell, which kernels are convolved with, and the rank of the dot product."""
    channels: tuple[run.Count, ...] = (6, 12, 18, 24, 18, 12, 6, 3)
    """Channels of the convolutions from the grounded map to values, before the last one."""
    planner: run.Whole = 0
    """Iterations of a planner (VIN's) in place of these convolutions; 0 for none."""
    hidden: run.Count = 128
    """Size of the dense layer of the two baselines."""
    learning_rate: run.Positive = 1e-3
    """Step size of the Adam optimiser."""
    anneal: bool = False
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.95
    """Discount γ of later rewards, per step."""
    batch_size: run.Count = 32
    """Windows that an update learns from; the map of each is valued once."""
    length: run.Count = 12
    """Transitions of a window."""
    buffer_size: run.Count = 100_000
    """Steps that the replay keeps."""
    warmup: run.Whole = 2_000
    """Environment steps of random actions before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 2
    """Updates that are made in a learning phase."""
    target_period: run.Count = 100
    """Updates between copies of the network into the target network."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random move when learning begins; all moves of learning avoid cells that were entered before."""
    epsilon_end: run.Unit = 0.2
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.3
    """Part of all steps over which the probability of a random action decays, linearly."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train grounded spatial reasoning (Janner et al., 2018) on maps with instructions, both never seen before."""

    env: str = "bellmax/sprite-maps"
    """Task with a map, a place on it and an instruction; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that show no map, place and instruction, and a replay that cannot be built.

    Raises:
      ValueError: naming the flag.
    """
    seen = tuple(sorted(spec.observation)) if isinstance(spec.observation, dict) else ()
    if seen != OBSERVED or spec.vocabulary is None or parts.discrete_actions(spec, "spatial") != 4:
        raise ValueError(
            f"--env {spec.name}: spatial needs four moves and observations of {', '.join(OBSERVED)}, as "
            "bellmax/sprite-maps has"
        )
    parts.check_replay(config, size, config.length + 1)


def network(config: Config, spec: "Told") -> "run.Network":
    """The values of cells and moves that the flags describe."""
    import networks
    from networks import spatial, text

    kinds = int(spec.observation["map"].high) + 1
    reader = text.encoder(config.encoder, len(spec.vocabulary.words), config.text_size)
    if config.network == "uvfa":
        body: Any = spatial.TextDotProduct(kinds, reader, config.embedding, hidden=config.hidden)
    elif config.network == "cnn-lstm":
        body = spatial.CnnLstm(kinds, reader, hidden=config.hidden)
    else:
        grounded = spatial.Grounded(kinds, reader, config.network, config.embedding)
        planned = spatial.PlannedMap(config.planner) if config.planner else spatial.ValueMap(config.channels)
        body = spatial.GroundedValues(grounded, planned)
    return networks.q_network(spatial.Mapped(body), spatial.MoveValues())


def make(config: Config, spec: "Told", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.common import optimisers
    from agents.spatial import spatial

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    agent = spatial(
        network(config, spec),
        optimisers.adam(rate, config.max_grad_norm),
        spec.observation["map"].shape,
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, config.epsilon_fraction * updates),
        target_period=config.target_period,
    )
    buffer, batch = parts.shares(config, size)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(agent, replay.uniform(buffer, batch, config.length), schedule)


PRESETS: run.Presets = {
    "maps": {
        "steps": 600_000,
        "num_envs": 64,
        "eval_every": 120_000,
        "eval_episodes": 500,
        "env_options": ("size=6",),
        "eval_env_options": ("puddle=0",),
        "agent.learning_rate": 2e-3,
        "agent.anneal": True,
        "agent.discount": 0.9,
        "agent.planner": 12,
        "agent.updates": 16,
        "agent.target_period": 50,
        "agent.epsilon_fraction": 0.5,
    }
}
"""`maps` is that of docs/results/spatial.md, with a planner in place of the paper's convolutions, which learn more
slowly. In evaluations puddles cost nothing, so that the return is the share of episodes that reach the goal."""

experiment = run.Experiment("spatial", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
