"""World Models: `python -m experiments.world_models --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import cem, parts, run

Stage = Literal["vision", "memory", "controller", "dream"]


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    reads: Literal["both", "vision", "observation"] = "both"
    """What the controller reads: z and h, z alone, or the observation itself, without either network."""
    model: str = ""
    """Run folder whose vision and memory are used; empty for networks that have learned nothing."""
    latent: run.Count = 8
    """Numbers of z; 32 in the paper's car race."""
    units: run.Count = 64
    """Size of the dense layers of encoder and decoder."""
    layers: run.Count = 2
    """Number of dense layers of encoder and decoder where observations are vectors."""
    channels: run.Count = 8
    """Channels of the first convolution, for images; each next one has twice as many."""
    memory_size: run.Count = 64
    """Size of the LSTM; 256 in the paper's car race."""
    components: run.Count = 5
    """Normals in the mixture of each number of the next z."""
    learning_rate: run.Positive = 1e-3
    """Adam's step size for vision and memory."""
    fidelity: run.Positive = 100.0
    """Weight of the squared errors of vectors, whose numbers are standardised; those of images have the paper's 1."""
    end_weight: run.Positive = 10.0
    """Factor of the memory's loss where an episode ends by the task's rules, as in the authors' code."""
    population: run.Whole = 32
    """Controllers per generation, 64 in the paper; at least 4, or 0 for 4 + 3 ln(number of parameters)."""
    episodes: run.Count = 4
    """Episodes that each controller plays in a generation; 16 in the paper."""
    sigma: run.Positive = 0.5
    """Standard deviation of the first controllers in every parameter."""
    unroll: run.Count = 16
    """Steps in each environment between looks at what has ended."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train World Models (Ha and Schmidhuber, 2018): an autoencoder, a memory, and a controller by evolution.

    Each stage has its folder in the run folder; --resume goes on with the stage that was stopped.
    """

    factorises = True
    env: str = "bellmax/cartpole-swingup-no-velocity"
    """Task, as suite/id; `python -m experiments.list` prints the suites."""
    steps: run.Steps = 1_500_000
    """Environment steps per seed of the controller's search in the task."""
    num_envs: run.Count = 32
    """Environments (lanes) per seed; at the end of each generation they wait for the last one."""
    stages: tuple[Stage, ...] = ("vision", "memory", "controller")
    """Stages to run, in this order; dream searches for the controller in the memory's dreams and plays it in the task.
    With none, one controller is searched for in the run folder itself."""
    transitions: run.Count = 100_000
    """Transitions of random actions that vision and memory learn from."""
    held: run.Count = 5
    """Steps for which a random action is held on average before another one is drawn."""
    vision_updates: run.Count = 4_000
    """Gradient steps that vision learns in."""
    vision_batch: run.Count = 128
    """Observations of a gradient step of vision."""
    memory_updates: run.Count = 4_000
    """Gradient steps that the memory learns in."""
    memory_batch: run.Count = 32
    """Windows of a gradient step of the memory."""
    memory_length: run.Count = 64
    """Transitions in a window of the memory."""
    generations: run.Count = 60
    """Generations that the search in dreams takes."""
    temperature: run.Positive = 1.15
    """Temperature τ of the dreams; below 1 the memory is surer of what comes than it has learned to be."""
    dream_steps: run.Count = 1_000
    """Steps after which a dream ends, where the task has no time limit."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses populations that are too small, tasks of other actions, and networks that are not there.

    Raises:
      ValueError: naming the flag.
    """
    from networks.predictor import modalities

    if 0 < config.population < 4:
        raise ValueError(f"--agent.population {config.population}: must be at least 4, or 0")
    cem.check_actions(spec)
    if config.reads == "observation":
        if config.model:
            raise ValueError(f"--agent.model {config.model!r}: is not used with --agent.reads observation")
        return
    try:
        modalities(spec.observation)
    except ValueError as error:
        raise ValueError(f"--env {spec.name}: {error}") from error
    if config.model:
        parts.dream_networks.world(config, spec)


def make(config: Config, spec: "run.Either", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import replay
    from agents.cma_es import cma_es
    from agents.common import wrappers
    from agents.world_models import remembering

    policy, shapes, discrete = parts.dream_search.controller(config, spec)
    agent = cma_es(policy, shapes, config.population, episodes=config.episodes, discrete=discrete, sigma=config.sigma)
    if config.reads != "observation":
        world = parts.dream_networks.world(config, spec)
        agent = remembering(agent, world, parts.dream_networks.unit_actions(spec), config.reads == "vision")
    agent = agent if discrete else wrappers.unit_actions(agent, spec.action)
    return run.Parts(agent, replay.on_policy(config.unroll), run.Schedule(config.unroll))


experiment = run.Experiment("world_models", Flags, check, make, launch=parts.dreaming.launch, alone=cem.ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
