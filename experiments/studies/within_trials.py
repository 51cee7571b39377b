"""What an agent does within trials: regret by pull, whether it stays with a choice, and which units tell errors.

All are functions of what was played, `[T, N]`, as numpy arrays or JAX's.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from jax.typing import ArrayLike


def regrets(means: "ArrayLike", arms: "ArrayLike") -> np.ndarray:
    """The expected regret up to each pull, averaged over bandits, `[T]`.

    Args:
      means: what the arms pay on average, `[N, arms]`.
      arms: that were pulled, int `[T, N]`.
    """
    means, arms = np.asarray(means, float), np.asarray(arms)
    paid = np.take_along_axis(means, arms.T, axis=1)
    return np.cumsum((means.max(1, keepdims=True) - paid).mean(0))


class Stays(NamedTuple):
    """How often the first action of the two-step task was taken again, `[2, 2]`, and what speaks for a model."""

    probability: np.ndarray
    """By whether the transition was common (row 0) or rare, and the choice was rewarded (column 0) or not."""
    main: float
    """The mean effect of reward: above 0 for who repeats what was rewarded, whichever way it came about."""
    interaction: float
    """Half of how much more a reward does after common transitions than after rare ones; above 0 with a model."""


def stays(action: "ArrayLike", second: "ArrayLike", reward: "ArrayLike", own: tuple[int, int] = (0, 1)) -> Stays:
    """Stay probabilities of the two-step task.

    Args:
      action: first actions of successive choices, `[T, N]`.
      second: the second states that they led to, 0 or 1, `[T, N]`.
      reward: what was paid there, `[T, N]`.
      own: the second state that each action commonly leads to.
    """
    action, second, reward = np.asarray(action), np.asarray(second), np.asarray(reward)
    stay = action[1:] == action[:-1]
    common = np.asarray(own)[action[:-1]] == second[:-1]
    paid = reward[:-1] > 0
    found = np.array([[stay[(common == c) & (paid == r)].mean() for r in (True, False)] for c in (True, False)])
    effect = found[:, 0] - found[:, 1]  # of reward, after common and after rare transitions
    return Stays(found, float(effect.mean()), float((effect[0] - effect[1]) / 2))


def error_units(
    activity: "ArrayLike", reward: "ArrayLike", value: "ArrayLike", following: "ArrayLike", discount: float
) -> np.ndarray:
    """The correlation of each unit's activity with the error r + γ V' - V of a prediction, `[units]`.

    Args:
      activity: of the core, in the row that the reward arrives in, `[T, N, units]`.
      reward: r, `[T, N]`.
      value: V of the row before, `[T, N]`.
      following: V' of the row that the reward arrives in, `[T, N]`.
      discount: γ.

    Returns:
      Pearson's correlations; 0 for a unit, or an error, that does not vary.
    """
    activity = np.asarray(activity, float)
    units = activity.reshape(-1, activity.shape[-1])
    error = (np.asarray(reward) + discount * np.asarray(following) - np.asarray(value)).ravel()
    units, error = units - units.mean(0), error - error.mean()
    spread = np.sqrt((units**2).sum(0) * (error**2).sum())
    return np.where(spread > 0, units.T @ error / np.where(spread > 0, spread, 1.0), 0.0)
