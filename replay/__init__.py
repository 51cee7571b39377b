"""Replays, and maps over what they hand out: what agents learn from."""

from replay.base import Relabel, Replay, RingRelabel, mapped
from replay.dataset import dataset
from replay.fresh_and_replayed import fresh_and_replayed
from replay.hindsight import hindsight
from replay.on_policy import on_policy
from replay.prioritised import prioritised
from replay.relabel import n_step, rewards
from replay.segments import segments
from replay.subgoal_attempts import Levels, subgoal_attempts
from replay.uniform import uniform

__all__ = [
    "Levels",
    "Relabel",
    "Replay",
    "RingRelabel",
    "dataset",
    "fresh_and_replayed",
    "hindsight",
    "mapped",
    "n_step",
    "on_policy",
    "prioritised",
    "rewards",
    "segments",
    "subgoal_attempts",
    "uniform",
]
