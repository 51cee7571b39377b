"""Networks of I2A: the predictor of frames, and what reads frames and imagined rollouts.

Racanière et al., "Imagination-augmented agents for deep reinforcement learning" (2017), figures 2, 6 and 8. Frames are
small and their pixels kinds, so convolutions keep the size.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array, Tree
from envs.extremes import greatest
from networks.cores import LSTM
from networks.initializers import orthogonal
from networks.torsos import Conv, scaled


def highest(x: Array) -> Array:
    """The maximum of each map, `[N, H, W, C] -> [N, C]`."""
    return greatest(x.reshape((x.shape[0], -1, x.shape[-1])), 1)


def pool_and_inject(x: Array) -> Array:
    """`[N, H, W, C] -> [N, H, W, 2 C]`: each map's maximum laid beside it, so that all of a frame is known anywhere."""
    return jnp.concatenate([x, jnp.broadcast_to(highest(x)[:, None, None], x.shape)], -1)


class BasicBlock(nn.Module):
    """Pool-and-inject, a branch of a large kernel and one of 3×3, joined, and laid beside the input."""

    sizes: tuple[int, int, int]
    kernel: int = 9

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C] -> [N, H, W, C + sizes[2]]`."""
        wide, narrow, joined = self.sizes
        y = pool_and_inject(x)
        far = nn.relu(Conv(wide, self.kernel, same=True)(nn.relu(Conv(wide, 1)(y))))
        near = nn.relu(Conv(narrow, 3, same=True)(nn.relu(Conv(narrow, 1)(y))))
        return jnp.concatenate([x, nn.relu(Conv(joined, 1)(jnp.concatenate([far, near], -1)))], -1)


class FramePredictor(nn.Module):
    """From a frame of kinds and an action to logits of the next frame's kinds and of the reward."""

    kinds: int
    actions: int
    atoms: int  # of the reward
    stem: int = 64
    blocks: tuple[tuple[int, int, int], ...] = ((16, 32, 64), (16, 32, 64))
    kernel: int = 9
    head: int = 256
    reward_head: int = 64

    @nn.compact
    def __call__(self, frame: Array, action: Array) -> tuple[Array, Array]:
        """`(int [N, H, W], int [N]) -> ([N, H, W, kinds], [N, atoms])`."""
        done = jnp.broadcast_to(jax.nn.one_hot(action, self.actions)[:, None, None], (*frame.shape, self.actions))
        x = jnp.concatenate([jax.nn.one_hot(frame, self.kinds), done], -1)
        x = nn.relu(Conv(self.stem, 1)(x))
        for sizes in self.blocks:
            x = BasicBlock(sizes, self.kernel)(x)
        pixels = Conv(self.kinds, 1)(nn.relu(Conv(self.head, 1)(x)))
        y = nn.relu(Conv(self.reward_head, 1)(pool_and_inject(x)))
        y = nn.relu(Conv(self.reward_head, 1)(y))
        reward = nn.Dense(self.atoms)(jnp.concatenate([highest(y), jnp.mean(y, (1, 2))], -1))
        return pixels, reward


class FrameTorso(nn.Module):
    """Features of frames: 3×3 convolutions, the first of them keeping the size and the others halving it, and a layer.

    Bytes are divided by `scale` (`envs.base.byte_scale`); frames of numbers are taken as they are.
    """

    channels: tuple[int, ...] = (16, 16)
    hidden: int = 256
    dtype: Any = jnp.float32
    scale: Any = 255.0

    @nn.compact
    def __call__(self, frame: Array) -> Array:
        """`[..., H, W, C] -> [..., hidden]`."""
        x = scaled(frame.reshape((-1, *frame.shape[-3:])), self.dtype, self.scale)
        for i, channels in enumerate(self.channels):
            x = nn.relu(Conv(channels, 3, 2, dtype=self.dtype)(x) if i else Conv(channels, 3, same=True)(x))
        x = nn.relu(nn.Dense(self.hidden, kernel_init=orthogonal(2**0.5))(x.reshape((x.shape[0], -1))))
        return x.reshape((*frame.shape[:-3], self.hidden)).astype(jnp.float32)


class ImaginationTorso(nn.Module):
    """Features of an observation and of what was imagined from it, for the heads of an actor-critic.

    The observation is a dict: `observation`, read by the model-free path, and `frames` [N, A, D, ...] and `rewards`
    [N, A, D] of one rollout per action. Each is encoded by an LSTM that reads it from its end to its beginning; the
    codes of all actions, in their order, lie beside the model-free features. Without an encoder those are all.
    """

    free: nn.Module
    """Model-free path, `observation[N, ...] -> [N, F]`."""
    encoder: nn.Module | None = None
    """Of a frame, `[M, ...] -> [M, G]`."""
    memory: int = 256
    """Of the LSTM."""
    hidden: int = 256
    """Of the layer after all."""

    @nn.compact
    def __call__(self, observation: dict[str, Tree]) -> Array:
        """`-> [N, hidden]`."""
        features = self.free(observation["observation"])
        if self.encoder is not None:
            codes = self.codes(self.encoder, observation["frames"], observation["rewards"])
            features = jnp.concatenate([features, codes], -1)
        return nn.relu(nn.Dense(self.hidden, kernel_init=orthogonal(2**0.5))(features))

    def codes(self, encoder: nn.Module, frames: Tree, rewards: Array) -> Array:
        """`[N, A, D, ...]` and `[N, A, D] -> [N, A * memory]`."""
        lanes, actions, depth = rewards.shape
        merged = jax.tree.map(lambda x: x.reshape((lanes * actions * depth, *x.shape[3:])), frames)
        each = jnp.concatenate([encoder(merged), rewards.reshape((-1, 1))], -1)
        backwards = jnp.flip(jnp.moveaxis(each.reshape((lanes * actions, depth, -1)), 1, 0), 0)
        core = LSTM(self.memory)
        _, outputs = core(core.begin(lanes * actions), backwards, jnp.zeros((depth, lanes * actions), bool))
        return outputs[-1].reshape((lanes, actions * self.memory))
