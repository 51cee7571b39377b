"""DQfD: the loss of a Q-learner that learns from demonstrations beside its own experience.

Hester et al., "Deep Q-learning from demonstrations", AAAI 2018. From windows of n transitions, with J_1 the loss of the
first, J_n that of all folded into one, and ℓ(a) = m for all but the demonstrated action a_E,

    J = J_1 + λ_n J_n + λ_E E_demonstrations[max_a (Q(x, a) + ℓ(a)) - Q(x, a_E)].

The agent is `agents.dqn` with this loss, a replay that keeps demonstrations (`replay.with_demonstrations`), and updates
on these alone before the first step (`agents.common.demonstrations.pretrained`).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array, Key, Sample, over_window, valid
from agents.common.demonstrations import Demonstrations, one_and_n
from agents.dqn import Descended, ErrorsOf
from envs import parallel


def guided(demonstrations: Demonstrations, discount: float | Array) -> Callable[[ErrorsOf], Descended]:
    """The loss, for `dqn(loss_of=...)` of a feed-forward network.

    Args:
      demonstrations: how they enter.
      discount: γ, by which transitions are folded into one.
    """

    def of(errors: ErrorsOf) -> Descended:
        def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[Array, dict[str, Array]]]:
            both, windows = one_and_n(sample.steps, demonstrations, discount), sample.steps.timestep.reward.shape[1]
            each, priority, q_tm1, told = errors(params, target, key, both)
            single = jax.tree.map(lambda x: x[:, :windows], both)
            weight = jnp.broadcast_to(jnp.asarray(sample.weight), (1, windows))
            mean = lambda x: parallel.masked_mean(x, valid(single))  # noqa: E731
            shown = single.extras["demonstrated"][:-1]
            margin = losses.large_margin(q_tm1[:, :windows], single.action[:-1], demonstrations.margin)
            margin = mean(jnp.where(shown, margin, 0.0) * weight)
            value = mean(each[:, :windows] * weight) + demonstrations.n_weight * mean(each[:, windows:] * weight)
            means = {name: mean(x[:, :windows]) for name, x in told.items()}
            means |= {"margin_loss": margin, "demonstrated": mean(shown.astype(jnp.float32))}
            value = value + demonstrations.margin_weight * margin
            return value, (over_window(priority[:, :windows], single), means)

        return loss

    return of
