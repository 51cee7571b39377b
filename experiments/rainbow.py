"""Rainbow, which is `experiments.dqn` with all parts on: `python -m experiments.rainbow --help`.

The ablations of the paper: `--agent.no-double`, `--agent.no-dueling`, `--agent.priorities none`, `--agent.n-step 1`,
`--agent.objective expected`, and `--agent.noisy none --agent.epsilon-start 1 --agent.epsilon-end 0.02`.

σ₀ is 0.1, as in Dopamine and DQN Zoo; the paper writes 0.5.
"""

from dataclasses import dataclass, field

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    objective: dqn.Prediction = "categorical"
    dueling: bool = True
    noisy: dqn.Noisy = "factorised"
    sigma: run.NonNegative = 0.1
    priorities: dqn.Priorities = "proportional"
    epsilon_start: run.Unit = 0.0
    epsilon_end: run.Unit = 0.0


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train Rainbow (Hessel et al., 2018)."""

    agent: Config = field(default_factory=Config)


check, make = dqn.check, dqn.make
NOISY = {"sigma": 0.1, "epsilon_start": 0.0, "epsilon_end": 0.0, "epsilon_steps": 0}
PARTS = {"double": True, **parts.presets.ATOMS, **parts.presets.PRIORITIES, **NOISY}
PRESETS: run.Presets = {
    "atari": parts.merge(parts.presets.DOPAMINE, learning_rate=6.25e-5, adam_eps=1.5e-4, **PARTS),
    "atari-classic": parts.merge(
        parts.presets.ZOO, learning_rate=6.25e-5, adam_eps=1.5625e-4, warmup=20_000, target_period=2_000, **PARTS
    ),
    "minatar": parts.merge(parts.presets.MINATAR, **PARTS),
}
"""`atari` has the settings of Dopamine's JAX agent, `atari-classic` those of DQN Zoo; `minatar` is DQN's with Rainbow's
parts on top; see `experiments.parts.presets`."""

experiment = run.Experiment("rainbow", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
