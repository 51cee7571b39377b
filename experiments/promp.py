"""ProMP: `python -m experiments.promp --help`."""

from dataclasses import dataclass, field
from typing import Literal

from experiments import maml, run


@dataclass(frozen=True)
class Config(maml.Config):
    """Flags of the agent, with ProMP's defaults."""

    surrogate: Literal["plain", "lvc", "dice"] = "lvc"
    """What the tasks' own steps descend on; ProMP's curvature is of low variance (lvc)."""
    kl_cost: run.NonNegative = 5e-4
    """Weight of the divergence from the policy that played before the step."""


@dataclass(frozen=True)
class Flags(maml.Flags):
    """Train ProMP (Rothfuss et al., 2019): MAML with a surrogate of low variance and PPO's steps."""

    agent: Config = field(default_factory=Config)


PRESETS: run.Presets = {"points": maml.POINTS, "half-circle": maml.HALF_CIRCLE, **maml.CHEETAHS}
"""The tasks of MAML's presets, without the credit and the outer steps that those have; the cheetahs have the sizes,
rates and steps of the authors' code, in fewer steps than its 160 million, and no figures of theirs are recorded here.
"""

experiment = run.Experiment("promp", Flags, maml.check, maml.make, PRESETS, alone=maml.ALONE)
main = experiment.main

if __name__ == "__main__":
    main()
