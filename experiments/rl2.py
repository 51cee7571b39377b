"""RL²: `python -m experiments.rl2 --help`."""

from dataclasses import dataclass, field
from typing import Any, Literal

from experiments import ppo, run

ENTRIES = {"action": "last_action", "reward": "last_reward", "end": "new_episode"}
"""What a trial tells, by the name of the flag and that of the observation."""


@dataclass(frozen=True)
class Config(ppo.Config):
    """Flags of the agent."""

    told: tuple[Literal["action", "reward", "end"], ...] = ("action", "reward", "end")
    """What the agent sees of what went before: its last action, the reward of it, and whether an episode begins. What
    is left out is 0."""
    memory: Literal["none", "lstm", "gru"] = "gru"
    """Recurrent core of the network, of the size of the last hidden layer; none cuts the memory."""
    hidden: tuple[run.Count, ...] = (48,)
    """Sizes of the network's dense layers."""
    shared: bool = True
    """Share one torso between policy and value."""
    discount: run.Unit = 0.8
    """Discount γ of later rewards, per step, over the whole trial."""
    gae_lambda: run.Unit = 0.3
    """The λ of the generalised advantage."""
    learning_rate: run.Positive = 3e-3
    """Step size of the Adam optimiser."""
    epochs: run.Count = 3
    """Passes of learning over each rollout; with one, one minibatch and no clipping the step is A2C's."""
    unroll: run.Count = 101
    """Steps in each environment per rollout; a whole trial, with the row that opens it, or whole trials."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train RL² (Duan et al., 2016; Wang et al., 2016): a recurrent PPO that learns within trials of tasks."""

    env: str = "bellmax/bandits"
    """Task, as suite/id, whose observations tell the last action and reward; `python -m experiments.list` prints the
    suites."""
    num_envs: run.Count = 256
    """Environments (lanes) per seed."""
    eval_episodes: run.Count = 1024
    """Trials that an evaluation plays, per seed."""
    agent: Config = field(default_factory=Config)


def check_trials(spec: "run.Spec") -> None:
    """Refuses tasks that do not come in trials.

    Raises:
      ValueError: naming the flag.
    """
    if not isinstance(spec.observation, dict) or not set(ENTRIES.values()) <= set(spec.observation):
        told = f"must be of trials, whose observations have {', '.join(ENTRIES.values())}"
        raise ValueError(f"--env {spec.name}: {told}")


def check(config: Config, spec: "run.Spec", size: run.Size) -> None:
    """Refuses flags that do not go together, and tasks that do not come in trials.

    Raises:
      ValueError: naming the flag.
    """
    check_trials(spec)
    ppo.check(config, spec, size)


def make(config: Config, spec: "run.Spec", size: run.Size) -> run.Parts:
    """The parts of one run, of flags that `check` accepts."""
    from agents.common import wrappers

    built = ppo.make(config, spec, size)
    hidden = tuple(entry for name, entry in ENTRIES.items() if name not in config.told)
    return built._replace(agent=wrappers.untold(built.agent, hidden))


BANDIT = {"env": "bellmax/bandits", "eval_env_options": ("pays=regret",), "steps": 10_100_000}
SIMULATED: dict[str, Any] = {
    "steps": 20_000_000,
    "num_envs": 32,
    "eval_episodes": 32,
    "agent.hidden": (128,),
    "agent.learning_rate": 3e-4,
    "agent.discount": 0.99,
    "agent.gae_lambda": 0.95,
}
PRESETS: run.Presets = {
    "bandit-two": BANDIT,
    "dependent-medium": BANDIT
    | {"env_options": ("kind=medium",), "steps": 15_150_000, "agent.learning_rate": 1e-3, "agent.discount": 0.9},
    "five-arms": {
        "env_options": ("arms=5", "pulls=10"),
        "steps": 2_200_000,
        "num_envs": 512,
        "eval_episodes": 4096,
        "agent.unroll": 11,
        "agent.discount": 0.99,
    },
    "mdp": {
        "env": "bellmax/random-mdps",
        "steps": 6_000_000,
        "eval_episodes": 2048,
        "agent.unroll": 36,
        "agent.discount": 0.9,
    },
    "two-step": {"env": "bellmax/two-step", "steps": 5_000_000, "agent.discount": 0.9},
    "harlow": {
        "env": "bellmax/harlow",
        "env_options": ("features=10", "objects=trained"),
        "eval_env_options": ("pays=second", "objects=held-out"),
        "steps": 5_000_000,
        "agent.unroll": 7,
        "num_envs": 512,
    },
    "cheetah-direction": SIMULATED
    | {"env": "meta/HalfCheetahDirection", "env_options": ("episodes=2",), "agent.unroll": 402},
    "ml1-push": SIMULATED | {"env": "meta/ML1/Push-v3", "agent.unroll": 501},
}
"""`bandit-two` is what the two-armed bandits of both papers are, `dependent-medium` Wang et al.'s with 0.25 and 0.75,
`five-arms` and `mdp` are Duan et al.'s in small, `two-step` is that of Wang et al. (2018), `harlow` their object
learning without pictures. `cheetah-direction` and `ml1-push` run in a simulator; no figures of theirs are recorded
here. The unroll is one trial in each. Evaluations of bandits tell minus the regret.
"""

experiment = run.Experiment("rl2", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
