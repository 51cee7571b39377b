"""DQN and double DQN, with every part of Rainbow as a flag: `python -m experiments.dqn --help`.

`experiments.c51`, `.qr_dqn`, `.iqn` and `.rainbow` are this module with other defaults.
"""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from experiments import parts, run

if TYPE_CHECKING:
    from agents.common.objectives import Objective
    from replay.base import Replay

Prediction = Literal["expected", "categorical", "quantile", "implicit"]
Noisy = Literal["none", "factorised", "independent"]
Priorities = Literal["none", "proportional", "rank"]


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    learning_rate: run.Positive = 5e-4
    """Step size of the Adam optimiser."""
    adam_eps: run.Positive = 1e-8
    """The ε that Adam adds to the root of the second moment."""
    anneal: bool = False
    """Let the step size fall linearly to 0 over the run."""
    max_grad_norm: run.Limit = 10.0
    """Global norm that gradients are clipped to."""
    discount: run.Unit = 0.99
    """Discount γ of later rewards, per step."""
    hidden: tuple[run.Count, ...] = (128, 128)
    """Sizes of the dense layers. With `dueling` or the implicit objective the last belongs to the head."""
    layer_norm: bool = True
    """Normalise dense layers before each of their activations."""
    cnn: parts.Convolutions = "auto"
    """Convolutions for image observations, `auto` by their size; `hidden` follows them."""
    dtype: parts.Precision = "float32"
    """What the layers compute in; parameters and losses are float32 in either case."""
    objective: Prediction = "expected"
    """What is predicted: the mean return; its distribution on atoms (C51); its quantiles, fixed (QR-DQN) or sampled
    (IQN)."""
    atoms: run.Pair = 51
    """Atoms of the categorical objective."""
    v_min: run.Real = -100.0
    """Lowest atom of the return distributions."""
    v_max: run.Real = 100.0
    """Highest atom of the return distributions."""
    quantiles: run.Count = 32
    """Quantiles that are predicted, or sampled for each use."""
    kappa: run.NonNegative = 1.0
    """Error κ from which the quantile loss is linear; 0 for exact quantiles."""
    dueling: bool = False
    """Let the network have separate streams for the state's value and the actions' advantages."""
    noisy: Noisy = "none"
    """Noise in the dense layers, for exploration; usually with `epsilon_start` 0."""
    sigma: run.NonNegative = 0.5
    """Noise in the layers at first: σ₀ if factorised; the standard deviation itself if independent (0.017 in the
    paper)."""
    parameter_noise: bool = False
    """Explore with perturbed parameters; usually with `epsilon_end` 0.01 or less."""
    parameter_noise_epsilon: run.Share = 0.05
    """The ε of the ε-greedy policy that the parameter noise is kept as strong as."""
    parameter_noise_period: run.Count = 50
    """Updates for which perturbed parameters are held."""
    munchausen: bool = False
    """Add the scaled log-policy to the reward and bootstrap softly."""
    munchausen_scale: run.NonNegative = 0.9
    """Munchausen's α, which scales the log-policy that is added to the reward."""
    munchausen_temperature: run.Positive = 0.03
    """Munchausen's τ, the temperature of the soft policy."""
    double: bool = True
    """Select the target's action with the online network (without `munchausen`)."""
    n_step: run.Count = 3
    """Transitions folded into each target."""
    error_clip: run.Positive | None = None
    """Bound δ of Huber's loss, 1 for rewards of ±1 as in Atari; none for the squared loss, which large returns need."""
    batch_size: run.Count = 128
    """Transitions of the replay that an update learns from."""
    buffer_size: run.Count = 100_000
    """Transitions that the replay keeps."""
    priorities: Priorities = "none"
    """How the replay draws: uniformly, or by priorities that are proportional to errors or to ranks."""
    alpha: run.NonNegative = 0.5
    """Exponent of the priorities by which the replay draws."""
    beta: run.Unit = 0.4
    """Exponent of the importance weights when learning begins."""
    beta_end: run.Unit = 1.0
    """Exponent of the importance weights at the end, to which it grows linearly."""
    frames: run.Count = 1
    """Frames in an image observation's stack, of which the replay keeps one."""
    warmup: run.Whole = 1_000
    """Environment steps of random play before learning."""
    unroll: run.Count = 1
    """Steps in each environment between learning phases."""
    updates: run.Count = 4
    """Updates that are made in a learning phase."""
    target_period: run.Count = 1
    """Updates between moves of the target network."""
    target_rate: run.Share = 0.01
    """How far the target moves towards the online network each time; 1 copies it."""
    epsilon_start: run.Unit = 1.0
    """Probability of a random action when learning begins."""
    epsilon_end: run.Unit = 0.02
    """Probability of a random action once it has decayed."""
    epsilon_fraction: run.Unit = 0.2
    """Part of all steps over which the probability of a random action decays, linearly."""
    epsilon_steps: run.Whole = 0
    """Environment steps over which the probability of a random action decays; 0 for `epsilon_fraction` of all."""
    ladder: run.NonNegative = 0.0
    """How much less the last environment explores than the first, as in Ape-X: its probability of a random action is
    the first one's to the power of 1 + `ladder`; 0 for all alike."""
    hold: run.Count = 1
    """Most steps that a random action is held for, drawn with P(n) ∝ 1/n² (εz-greedy); 1 for ε-greedy."""
    clip_rewards: bool = False
    """Learn from rewards that are clipped to [-1, 1]."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train DQN (Mnih et al., 2015), double by default (van Hasselt et al., 2016), with other parts on demand."""

    env: str = "envpool/CartPole-v1"
    """Task with discrete actions, as suite/id; `python -m experiments.list` prints the suites."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and continuous actions.

    Raises:
      ValueError: naming the flag.
    """
    if config.hold > 1 and config.parameter_noise:
        raise ValueError(f"--agent.hold {config.hold}: --agent.parameter-noise takes no random actions to hold")
    parts.check_atoms(config)
    if config.batch_size > config.buffer_size:
        raise ValueError(
            f"--agent.batch-size {config.batch_size}: larger than --agent.buffer-size {config.buffer_size}"
        )
    if has_own_layer(config) and not config.hidden:
        raise ValueError("--agent.hidden (empty): --agent.dueling and the implicit objective need a layer")
    parts.discrete_actions(spec, "dqn")
    parts.check_images(spec, config.cnn)
    parts.check_replay(config, size, config.n_step + config.frames)
    parts.check_frames(spec, config.frames)


def has_own_layer(config: Config) -> bool:
    """Whether the last dense layer belongs to the head."""
    return config.dueling or config.objective == "implicit"


def network(config: Config, spec: "run.Counted") -> "run.Network":
    """The Q-network that the flags describe."""
    import jax.numpy as jnp

    import networks

    noise = None if config.noisy == "none" else networks.Noise(config.sigma, config.noisy == "factorised")
    cut = len(config.hidden) - has_own_layer(config)
    in_torso, in_head = config.hidden[:cut], config.hidden[cut:]
    shared: dict[str, Any] = {"layer_norm": config.layer_norm, "noise": noise, "dtype": jnp.dtype(config.dtype)}
    head = {"hidden": in_head, "dueling": config.dueling, **shared}
    actions = spec.action.num
    heads = {
        "expected": lambda: networks.QValues(actions, **head),
        "categorical": lambda: networks.CategoricalQ(actions, atoms=config.atoms, **head),
        "quantile": lambda: networks.QuantileQ(actions, quantiles=config.quantiles, **head),
        "implicit": lambda: networks.ImplicitQ(actions, samples=config.quantiles, **head),
    }
    return networks.q_network(parts.torso(spec, in_torso, config.cnn, **shared), heads[config.objective]())


def objective(config: Config) -> "Objective":
    """The loss that goes with it."""
    import jax.numpy as jnp

    from agents.common import objectives

    if config.objective == "expected":
        return objectives.expected(config.error_clip)
    if config.objective == "categorical":
        return objectives.categorical(jnp.linspace(config.v_min, config.v_max, config.atoms))
    return objectives.quantile(config.kappa)


def storage(config: Config, size: run.Size, updates: float) -> "Replay":
    """The replay, of n-step transitions, whose rewards are clipped one by one if they are to be."""
    import jax.numpy as jnp

    import replay

    buffer, batch = parts.shares(config, size)
    if config.priorities == "none":
        memory = replay.uniform(buffer, batch, config.n_step, config.frames)
    else:
        memory = replay.prioritised(
            buffer, batch, config.n_step, config.frames,
            alpha=config.alpha, beta=parts.linear(config.beta, config.beta_end, updates),
            rank=config.priorities == "rank", single=True,
        )  # fmt: skip
    relabels = [replay.rewards(lambda reward: jnp.clip(reward, -1.0, 1.0))] if config.clip_rewards else []
    relabels += [replay.n_step(config.n_step, config.discount)] if config.n_step > 1 else []
    return replay.mapped(memory, *relabels) if relabels else memory


def make(config: Config, spec: "run.Counted", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import exploration, optimisers
    from agents.dqn import Munchausen, dqn

    per_iteration = config.unroll * size.num_envs * size.devices
    updates = size.steps / per_iteration * config.updates
    part = config.epsilon_steps / size.steps if config.epsilon_steps else config.epsilon_fraction
    rate = parts.linear(config.learning_rate, 0.0, updates) if config.anneal else config.learning_rate
    net, aim = network(config, spec), objective(config)
    agent = dqn(
        net,
        optimisers.adam(rate, config.max_grad_norm, config.adam_eps),
        objective=aim,
        discount=config.discount,
        epsilon=parts.linear(config.epsilon_start, config.epsilon_end, part * updates),
        ladder=None if isinstance(config.ladder, float) and not config.ladder else config.ladder,
        target_period=config.target_period,
        target_rate=config.target_rate,
        double=config.double,
        munchausen=Munchausen(config.munchausen_scale, config.munchausen_temperature) if config.munchausen else None,
        noisy=config.noisy != "none",
        sampled=config.objective == "implicit",
    )
    if config.parameter_noise:
        agent = exploration.parameter_noise(
            agent,
            exploration.softmax_divergence(net, aim),
            exploration.epsilon_distance(config.parameter_noise_epsilon, spec.action.num),
            period=config.parameter_noise_period,
        )
    elif config.hold > 1:
        agent = exploration.extended(agent, spec.action.num, config.hold)
    schedule = run.Schedule(config.unroll, config.updates, -(-config.warmup // per_iteration))
    return run.Parts(agent, storage(config, size, updates), schedule)


experiment = run.Experiment("dqn", Flags, check, make, parts.presets.DQN)
main = experiment.main

if __name__ == "__main__":
    main()
