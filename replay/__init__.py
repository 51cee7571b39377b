"""Replays, and maps over what they hand out: what agents learn from."""

from replay.aggregate import aggregate
from replay.base import Relabel, Replay, RingRelabel, mapped
from replay.dataset import Dataset, Facts
from replay.demonstrations import with_demonstrations
from replay.files import load, save
from replay.fresh_and_replayed import fresh_and_replayed
from replay.goals import Shares, ahead, last_of, mixed, towards, with_goals
from replay.hindsight import hindsight
from replay.on_policy import on_policy
from replay.prioritised import prioritised
from replay.recorded import Arrays, arrays, check_beside, contexts, recorded, with_data
from replay.relabel import n_step, rewards, to_go
from replay.segments import segments
from replay.subgoal_attempts import Levels, subgoal_attempts
from replay.uniform import uniform

__all__ = [
    "Arrays",
    "Dataset",
    "Facts",
    "Levels",
    "Relabel",
    "Replay",
    "RingRelabel",
    "Shares",
    "aggregate",
    "ahead",
    "arrays",
    "check_beside",
    "contexts",
    "fresh_and_replayed",
    "hindsight",
    "last_of",
    "load",
    "mapped",
    "mixed",
    "n_step",
    "on_policy",
    "prioritised",
    "recorded",
    "rewards",
    "save",
    "segments",
    "subgoal_attempts",
    "to_go",
    "towards",
    "uniform",
    "with_data",
    "with_demonstrations",
    "with_goals",
]
