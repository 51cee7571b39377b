"""Modules of intrinsic reward for `agents.common.curiosity`, by what they call new.

- `counts`, `pseudo_counts`: what was visited rarely; `constant`: nothing.
- `distillation`: where a network has not yet learned what a fixed random one says (RND).
- `dynamics`: what a forward model mispredicts, in features of several kinds (ICM and its relatives); `disagreement`:
  what several of them predict differently.
- `surprise`: what a model of the next state calls improbable, or has just learned.
- `episodic`: what the episode has not shown yet (NGU).
"""

from agents.common.bonuses.counting import constant, counts, pseudo_counts
from agents.common.bonuses.disagreement import disagreement
from agents.common.bonuses.distillation import distillation
from agents.common.bonuses.dynamics import Features, dynamics
from agents.common.bonuses.episodic import episodic, modulated
from agents.common.bonuses.surprise import surprise

__all__ = [
    "Features",
    "constant",
    "counts",
    "disagreement",
    "distillation",
    "dynamics",
    "episodic",
    "modulated",
    "pseudo_counts",
    "surprise",
]
