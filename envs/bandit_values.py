"""What players of two-armed bandits lose, computed exactly: the best player there is, Thompson's and Gittins'.

The arms are those of `envs.tasks.bandits` that pay 1 or nothing. What has been seen of independent arms with uniform
priors is how often each was pulled and paid, so the value of play is found from the last pull backwards (Bellman's
equation over beliefs). Dependent arms pay with p and 1 - p, whichever is pulled tells the same, and the best player
pulls what is likelier to be better.
"""

from collections.abc import Callable
from functools import lru_cache
from math import lgamma

import numpy as np

from envs.tasks.bandits import PAIRS

Chance = Callable[[np.ndarray, np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def bayes_regret(kind: str = "independent", pulls: int = 100) -> float:
    """The expected regret of the best player, who knows how bandits are drawn.

    Args:
      kind: as for `envs.tasks.bandits.bandits`, but for "gaussian".
      pulls: of a trial.

    Raises:
      ValueError: another kind.
    """
    if kind == "independent":
        return 2 / 3 * pulls - _value(pulls, None)
    if kind == "uniform":
        weights, p = np.polynomial.legendre.leggauss(pulls + 2)[::-1]
        p, weights, best = (p + 1) / 2, weights / 2, 0.75
    elif kind in PAIRS:
        p, weights, best = np.array([PAIRS[kind], 1 - PAIRS[kind]]), np.array([0.5, 0.5]), 1 - PAIRS[kind]
    else:
        raise ValueError(f"kind: is {kind!r}; allowed: independent, uniform, {', '.join(PAIRS)}")
    total = 0.0
    for t in range(pulls):
        x = np.arange(t + 1)[:, None]  # pulls that spoke for p, of t
        ways = np.array([lgamma(t + 1) - lgamma(k + 1) - lgamma(t - k + 1) for k in range(t + 1)])[:, None]
        joint = weights * np.exp(ways + x * np.log(p) + (t - x) * np.log1p(-p))
        total += float(np.maximum(joint @ p, joint @ (1 - p)).sum())
    return best * pulls - total


def thompson_regret(pulls: int = 100) -> float:
    """The expected regret of Thompson's player on two independent arms, who pulls what is best in a draw of beliefs."""
    return 2 / 3 * pulls - _value(pulls, better)


def greedy_regret(pulls: int = 100) -> float:
    """The expected regret on two independent arms of who pulls what has the higher mean, or either if equal."""

    def chance(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        left, right = a * (c + d), c * (a + b)
        return np.where(left == right, 0.5, left > right)

    return 2 / 3 * pulls - _value(pulls, chance)


def gittins_regret(pulls: int = 100) -> float:
    """The expected regret on two independent arms of who pulls what has the higher index, or either if equal.

    Indices are those of `gittins_index` for the pulls that are left of the trial, without a discount. Where later
    rewards count for less and there is no end, nobody does better than who goes by the index; with an end it is close.

    Args:
      pulls: of a trial.
    """
    paid = np.concatenate([np.arange(pulled + 1) for pulled in range(pulls)])
    missed = np.concatenate([np.arange(pulled, -1, -1) for pulled in range(pulls)])
    index = (paid + 1) / (paid + missed + 2)
    indices = [index]  # by pulls that are left, of all arms [pulled * (pulled + 1) / 2 + paid] that can occur then
    for left in range(1, pulls + 1):
        arms = (pulls - left + 1) * (pulls - left + 2) // 2
        indices.append(_grown(paid[:arms] + 1, missed[:arms] + 1, left, 1.0, indices[-1][:arms]))

    def chance(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
        left = pulls - int((a + b + c + d).flat[0] - 4)
        one, two = (indices[left][(x + y - 2) * (x + y - 1) // 2 + x - 1] for x, y in ((a, b), (c, d)))
        return np.where(np.isclose(one, two, rtol=0, atol=1e-9), 0.5, one > two)

    return 2 / 3 * pulls - _value(pulls, chance)


def gittins_index(a: np.ndarray | int, b: np.ndarray | int, pulls: int, discount: float = 1.0) -> np.ndarray:
    """Gittins' index: the most that an arm pays per pull until a time that may be chosen by what is seen.

    It is the maximum over such times τ, of at least 1 and at most `pulls`, of the expected sum of discount^t r_t over
    that of discount^t, t < τ. Gittins, "Bandit processes and dynamic allocation indices", Journal of the Royal
    Statistical Society B 41, 1979.

    Args:
      a: the belief about what the arm pays with is Beta(a, b); above 0, of any shape that broadcasts.
      b: likewise.
      pulls: that are left, at least 1. The index of an arm without an end is greater than that of one with so many
        pulls, by at most discount ** pulls / (1 - discount).
      discount: γ of later pulls, above 0 and at most 1.

    Returns:
      Indices in [0, 1], float64 of the shape of a and b, exact but for the last digits.

    Raises:
      ValueError: an argument out of range.
    """
    a, b = np.broadcast_arrays(np.asarray(a, float), np.asarray(b, float))
    for name, belief in (("a", a), ("b", b)):
        if not (belief > 0).all():
            raise ValueError(f"{name}: must be above 0, got {belief.min()}")
    if pulls < 1:
        raise ValueError(f"pulls: must be at least 1, got {pulls}")
    if not 0 < discount <= 1:
        raise ValueError(f"discount: must be above 0 and at most 1, got {discount}")
    return _grown(a.ravel(), b.ravel(), pulls, discount, (a / (a + b)).ravel()).reshape(a.shape)


def _grown(a: np.ndarray, b: np.ndarray, pulls: int, discount: float, index: np.ndarray) -> np.ndarray:
    """Gittins' indices `[arms]` from others that are not above them.

    The best time to leave an arm for what pays an index for sure gives a ratio that is the next index, and is the same
    once it is Gittins'; that takes a few steps (Dinkelbach, "On nonlinear fractional programming", Management Science
    13, 1967).
    """
    index, live = index.copy(), np.arange(len(index))
    while live.size:
        ratio = _ratio(a[live], b[live], pulls, discount, index[live])
        grows = ratio > index[live] + 1e-12
        index[live] = ratio
        live = live[grows]
    return index


def _ratio(a: np.ndarray, b: np.ndarray, pulls: int, discount: float, index: np.ndarray) -> np.ndarray:
    """What arms pay per pull until the best time to leave each for what pays its `index` for sure, `[arms]`."""
    pay = time = np.zeros((len(a), pulls + 1))  # from a pull on, by how many of those before it paid
    for pulled in reversed(range(pulls)):
        p = (a[:, None] + np.arange(pulled + 1)) / (a + b + pulled)[:, None]
        pay = p + discount * (pay[:, :-1] + p * (pay[:, 1:] - pay[:, :-1]))
        time = 1 + discount * (time[:, :-1] + p * (time[:, 1:] - time[:, :-1]))
        stays = (pay > index[:, None] * time) | (pulled == 0)
        pay, time = pay * stays, time * stays
    return (pay / time)[:, 0]


@lru_cache(maxsize=1)
def _log_factorials(most: int) -> np.ndarray:
    return np.array([lgamma(k + 1) for k in range(most)])


def _log_beta(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    table = _log_factorials(4096)
    return table[a - 1] + table[b - 1] - table[a + b - 1]


def better(a: np.ndarray, b: np.ndarray, c: np.ndarray, d: np.ndarray) -> np.ndarray:
    """P(X > Y) for X ~ Beta(a, b) and Y ~ Beta(c, d), by the finite sum over whole a.

    Args:
      a: whole numbers of at least 1, whose shapes broadcast.
      b: likewise.
      c: likewise.
      d: likewise.
    """
    a, b, c, d = np.broadcast_arrays(a, b, c, d)
    i = np.arange(a.max()).reshape(-1, *(1,) * a.ndim)
    terms = _log_beta(c + i, b + d) - np.log(b + i) - _log_beta(1 + i, b) - _log_beta(c, d)
    return np.where(i < a, np.exp(terms), 0.0).sum(axis=0)


def _value(pulls: int, chance: Chance | None) -> float:
    """The expected return on two independent arms with uniform priors.

    Args:
      pulls: of a trial.
      chance: from beliefs Beta(a, b) and Beta(c, d) to the probability of the first arm; None for the best arm.
    """
    later = np.zeros((pulls + 1,) * 3)  # [pulls of the first arm, which paid, pulls of the second arm that paid]
    for t in reversed(range(pulls)):
        now = np.zeros((t + 1,) * 3)
        for first in range(t + 1):
            second = t - first
            x, y = np.arange(first + 1)[:, None], np.arange(second + 1)[None]
            one, two = (x + 1) / (first + 2), (y + 1) / (second + 2)
            left, right = later[first + 1], later[first]
            pull_one = one * (1 + left[1 : first + 2, : second + 1]) + (1 - one) * left[: first + 1, : second + 1]
            pull_two = two * (1 + right[: first + 1, 1 : second + 2]) + (1 - two) * right[: first + 1, : second + 1]
            if chance is None:
                now[first, : first + 1, : second + 1] = np.maximum(pull_one, pull_two)
            else:
                p = chance(x + 1, first - x + 1, y + 1, second - y + 1)
                now[first, : first + 1, : second + 1] = p * pull_one + (1 - p) * pull_two
        later = now
    return float(later[0, 0, 0])
