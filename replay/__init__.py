from replay.base import Relabel, Replay, mapped
from replay.beside import beside
from replay.dataset import dataset
from replay.on_policy import on_policy
from replay.prioritised import prioritised
from replay.relabel import n_step
from replay.uniform import uniform

__all__ = ["Relabel", "Replay", "beside", "dataset", "mapped", "n_step", "on_policy", "prioritised", "uniform"]
