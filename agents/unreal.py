"""UNREAL: an actor-critic with unsupervised auxiliary tasks.

Jaderberg et al., "Reinforcement learning with unsupervised auxiliary tasks", ICLR 2017. Beside the actor-critic's loss
on fresh rollouts, on windows of the recent past

    L = λ_PC Σ_cells ½ (G^PC - Q^cell(x_{t-1}, a_{t-1}))²      pixel control: how much each cell of the image changes
      - λ_RP log p(sign of r_t | x_{t-3}, x_{t-2}, x_{t-1})    reward prediction, half of its weight on rewards
      + λ_VR ½ (G - V(x_{t-1}))²                               value replay

with n-step G. The paper samples rewarding windows more often for the second; here a weight on each step makes half of
the mass rewarding, which has the same expectation. It sums over the T steps of a rollout but predicts one reward in
each; here all are means over steps, the second of T of them and divided by T.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import a2c, advantages
from agents.base import Agent, Array, Step, valid
from agents.common import auxiliary
from envs import parallel
from networks import view
from networks.base import Network

SCALES = {"pixel_control": 0.01, "reward_prediction": 1.0, "value_replay": 1.0}


def balanced(of: Array, mask: Array) -> Array:
    """Weights `[T, N]` with mean 1 over `mask` that give the entries where `of` and the others half of the mass each.

    If there is only one kind, it has the half alone.
    """
    share = parallel.mean(parallel.masked_mean(of.astype(jnp.float32), mask))
    weight = lambda part: 0.5 / jnp.maximum(part, 1e-3)  # noqa: E731
    return jnp.where(of, weight(share), weight(1 - share))


def tasks(
    *, cell: int, scale: Any = 255.0, discount: float | Array = 0.99, pixel_discount: float | Array = 0.9
) -> auxiliary.Tasks:
    """The three tasks, for the output of `networks.unreal`.

    Args:
      cell: pixels in a side of a cell.
      scale: what the bytes of images are divided by (`envs.base.byte_scale`).
      discount: γ of value replay.
      pixel_discount: γ of pixel control.
    """
    control = jax.vmap(partial(losses.pixel_control, cell=cell), 1, 1)

    def of_window(output: Any, steps: Step) -> Mapping[str, Array]:
        _, value, heads = output
        arrived, fixed = steps.timestep, jax.lax.stop_gradient(value)
        image = arrived.observation
        image = image / scale if image.dtype == jnp.uint8 else image
        gamma = pixel_discount * arrived.discount[1:]
        target = advantages(steps, fixed, discount=discount, lambda_=1.0) + fixed[:-1]
        reward = arrived.reward[1:]
        return {
            "pixel_control": control(image, steps.action[:-1], gamma, heads["pixels"], arrived.step_type),
            "reward_prediction": balanced(reward != 0, valid(steps))
            * losses.reward_prediction(heads["reward"][:-1], reward)
            / len(reward),
            "value_replay": losses.squared(target - value[:-1]),
        }

    return of_window


def unreal(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    cell: int,
    replayed: int,
    scales: Mapping[str, float | Array] = SCALES,
    scale: Any = 255.0,
    discount: float | Array = 0.99,
    pixel_discount: float | Array = 0.9,
    **options: Any,
) -> Agent:
    """The UNREAL agent; learns from `replay.fresh_and_replayed(on_policy(T), uniform(2000, replayed, T))`.

    Args:
      network: `networks.unreal`, on images.
      optimiser: an `agents.common.optimisers` chain.
      cell: pixels in a side of a cell; divides both sides of the image.
      replayed: windows of the past in a sample.
      scales: λ_PC, λ_RP and λ_VR.
      scale: what the bytes of images are divided by (`envs.base.byte_scale`).
      discount: γ.
      pixel_discount: γ of pixel control.
      **options: of `a2c`.
    """
    policy_and_value = view(network, lambda output: output[:2])
    of_window = tasks(cell=cell, scale=scale, discount=discount, pixel_discount=pixel_discount)
    return auxiliary.attached(
        lambda joint: a2c(policy_and_value, joint, discount=discount, **options),
        network, optimiser, of_window, scales, replayed,
    )  # fmt: skip
