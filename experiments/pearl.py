"""PEARL: `python -m experiments.pearl --help`."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from experiments import parts, rl2, run

if TYPE_CHECKING:
    import flax.linen as nn

    class Timed(run.Bounded):
        """Of a task whose episodes are of one length."""

        time_limit: int


@dataclass(frozen=True)
class Config:
    """Flags of the agent."""

    hidden: tuple[run.Count, ...] = (64, 64)
    """Sizes of the dense layers of policy, critics and encoder."""
    latent: run.Count = 5
    """Size of the latent that says which task it is."""
    blind: bool = False
    """Let the latent be 0."""
    cut: bool = False
    """Let no gradient of the critics reach the encoder."""
    discount: run.Unit = 0.9
    """Discount γ of later rewards, per step."""
    temperature: run.NonNegative = 0.01
    """Temperature α of the entropy bonus."""
    kl_cost: run.NonNegative = 0.01
    """Weight β of the divergence of beliefs about a task from N(0, 1), beside half the critics' squared errors."""
    learning_rate: run.Positive = 5e-4
    """Adam's step size for critics and encoder."""
    policy_learning_rate: run.Positive = 5e-4
    """Adam's step size for the policy."""
    target_rate: run.Share = 0.01
    """How far the target moves towards the critics with every update."""
    batch_size: run.Count = 32
    """Windows of the replay, as long as a trial, that an update learns from."""
    buffer_size: run.Count = 200_000
    """Environment steps that the replay keeps."""
    warmup: run.Whole = 4_000
    """Environment steps before learning."""
    unroll: run.Count = 4
    """Steps in each environment between learning phases."""
    updates: run.Count = 1
    """Updates that are made in a learning phase."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train PEARL (Rakelly et al., 2019): SAC with a latent that is inferred from what a trial has shown."""

    env: str = "bellmax/point-goals"
    """Task, as suite/id, whose observations tell the last action and reward; `python -m experiments.list` prints the
    suites."""
    env_options: tuple[str, ...] = ("goals=half-circle", "horizon=20", "episodes=3", "told=true")
    """Options that the task is made with, as name=value."""
    steps: run.Steps = 768_000
    """Environment steps that each seed trains for."""
    num_envs: run.Count = 16
    """Environments (lanes) per seed."""
    agent: Config = field(default_factory=Config)


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses tasks that do not come in trials of limited length, show no vector, or have unbounded actions.

    Raises:
      ValueError: naming the flag.
    """
    from envs.base import Box

    rl2.check_trials(spec)
    if spec.time_limit is None:
        raise ValueError(f"--env {spec.name}: must have a time limit, which windows are as long as")
    inside = spec.observation.get("observation")
    others = set(spec.observation) - {"observation", *rl2.ENTRIES.values()}
    if not isinstance(inside, Box) or len(inside.shape) != 1 or others:
        raise ValueError(f"--env {spec.name}: needs a vector as observation, but it is {spec.observation}")
    parts.unit_box(spec, "pearl")
    parts.check_layers(config, "hidden")
    parts.check_replay(config, size, spec.time_limit + 1)


def make(config: Config, spec: "Timed", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    import networks
    import replay
    from agents.common import optimisers, wrappers
    from agents.pearl import Networks, pearl
    from envs.base import Box
    from networks.initializers import orthogonal

    shown, actions = spec.observation["observation"].shape[0], spec.action.shape[0]

    def seeing(width: int, head: "nn.Module") -> "run.Network":
        return networks.q_network(networks.Torso(Box((width,)), config.hidden, cnn=None), head)

    encoder = networks.GaussianPolicy(config.latent, state_dependent=True, kernel_init=orthogonal(1.0))
    critic = seeing(shown + actions + config.latent, networks.Value())
    agent = pearl(
        Networks(
            seeing(2 * shown + actions + 1, encoder),
            seeing(shown + config.latent, networks.TanhGaussianPolicy(actions)),
            networks.ensemble(critic, 2),
        ),
        optimisers.adam(config.learning_rate),
        optimisers.adam(config.policy_learning_rate),
        config.latent,
        shown,
        discount=config.discount,
        temperature=config.temperature,
        kl_cost=config.kl_cost,
        target_rate=config.target_rate,
        blind=config.blind,
        cut=config.cut,
    )
    buffer, batch = parts.shares(config, size)
    warmup = -(-config.warmup // (config.unroll * size.num_envs * size.devices))
    return run.Parts(
        wrappers.unit_actions(agent, spec.action),
        replay.uniform(buffer, batch, spec.time_limit),
        run.Schedule(config.unroll, config.updates, warmup),
    )


CHEETAH: dict[str, Any] = {
    "env_options": ("episodes=2",),
    "steps": 2_000_000,
    "agent.hidden": (300, 300, 300),
    "agent.discount": 0.99,
    "agent.learning_rate": 3e-4,
    "agent.policy_learning_rate": 3e-4,
    "agent.target_rate": 0.005,
    "agent.batch_size": 4,
    "agent.buffer_size": 1_000_000,
}
PRESETS: run.Presets = {
    "cheetah-velocity": CHEETAH | {"env": "meta/HalfCheetahVelocity"},
    "cheetah-direction": CHEETAH | {"env": "meta/HalfCheetahDirection"},
}
"""The cheetahs with the authors' networks, discount and step sizes, in trials of two episodes; no figures of theirs are
recorded here."""

experiment = run.Experiment("pearl", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
