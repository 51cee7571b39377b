from replay.attempts import Levels, attempts
from replay.base import Beyond, Relabel, Replay, mapped
from replay.beside import beside
from replay.dataset import dataset
from replay.hindsight import hindsight
from replay.on_policy import on_policy
from replay.prioritised import prioritised
from replay.relabel import n_step, rewards
from replay.segments import segments
from replay.uniform import uniform

__all__ = [
    "Beyond",
    "Levels",
    "Relabel",
    "Replay",
    "attempts",
    "beside",
    "dataset",
    "hindsight",
    "mapped",
    "n_step",
    "on_policy",
    "prioritised",
    "rewards",
    "segments",
    "uniform",
]
