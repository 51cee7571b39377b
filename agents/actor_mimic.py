"""Actor-mimic: a student comes to choose as a teacher of values does, so that its network can be taken elsewhere.

Parisotto, Ba and Salakhutdinov, "Actor-mimic: deep multitask and transfer reinforcement learning", ICLR 2016
(arXiv:1511.06342). With π_T = softmax(Q_T(x, ·) / τ) of the teacher and logits z of the student,

    L(θ) = -Σ_a π_T(a|x) ln softmax(z(x; θ))_a

where the student acts ε-greedily by z, so `agents.dqn` with this loss is the student.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array, Key, Sample, Tree, over_window, valid
from agents.common import recurrence
from agents.dqn import Descended, ErrorsOf
from envs import parallel
from networks.base import Network


def mimicking(
    network: Network, teacher: Callable[[Tree], Array], temperature: float | Array = 0.1
) -> Callable[[ErrorsOf], Descended]:
    """The loss, for `dqn(loss_of=...)`.

    Args:
      network: the student's, observation -> logits, which its `Objective` reads as values.
      teacher: `(observation[T, N]) -> values [T, N, A]`.
      temperature: τ.
    """

    def of(_: ErrorsOf) -> Descended:
        def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[Array, dict[str, Array]]]:
            del target
            steps = sample.steps
            before = recurrence.before(steps)
            values, logits = teacher(before.timestep.observation), recurrence.unroll(network, params, key, before)
            each = losses.distillation(values / temperature, logits)
            agree = (jnp.argmax(values, -1) == jnp.argmax(logits, -1)).astype(jnp.float32)
            weight = jnp.broadcast_to(jnp.asarray(sample.weight), each.shape[1:])[None]
            mean = lambda x: parallel.masked_mean(x, valid(steps))  # noqa: E731
            told = {"q_mean": mean(jnp.max(values, -1)), "td_error": mean(1 - agree)}
            return mean(each * weight), (jax.lax.stop_gradient(over_window(each, steps)), told)

        return loss

    return of
