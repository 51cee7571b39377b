"""Which of several intentions acts when: the scheduler of scheduled auxiliary control.

Riedmiller et al., "Learning by playing: solving sparse reward tasks from scratch", ICML 2018, section 4.3. An episode
falls into H slots of ξ steps, and in each of them one intention acts. SAC-U draws it uniformly; SAC-Q by a table that
holds the mean return G of the *task* from the beginning of slot h to the end of the episode, after the intentions of
earlier slots:

    P(T_h | T_{0:h-1}) ∝ exp(Q(T_{0:h-1}, T_h) / η),      Q ← Q + (G - Q) / min(n, M)

`prefix` says how many of the last slots the table tells apart: H - 1 is the paper's.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key, Step, TimeStep
from envs import parallel


class Table(NamedTuple):
    """What a scheduler has learned, of H slots, C prefixes and K intentions."""

    value: Array  # [H, C, K]
    episodes: Array  # [H, C, K], that it is the mean of; at most M


class Slots(NamedTuple):
    """Memory of the lanes."""

    age: Array  # int32 [B], rows since the episode began
    chosen: Array  # int32 [B, H], intentions of the slots; -1 for those that have not come
    returns: Array  # [B, H], of the task since each began
    scale: Array  # [B, H], γ to the power of the steps since then; 0 for those that have not come


class Scheduler(NamedTuple):
    """How intentions are chosen; number 0 is the task's own."""

    intentions: int
    """K."""
    slots: int = 8
    """H; the last one goes on to the end of the episode."""
    period: int = 25
    """ξ, steps of a slot."""
    prefix: int = 1
    """Slots before one that the table tells apart."""
    learned: bool = True
    """By the table (SAC-Q), or uniformly (SAC-U)."""
    temperature: float | Array = 0.1
    """η."""
    most: float | Array = 50.0
    """M."""
    discount: float | Array = 0.99
    """γ of the task's return."""

    def table(self) -> Table:
        """An empty one."""
        empty = jnp.zeros((self.slots, (self.intentions + 1) ** self.prefix, self.intentions))
        return Table(empty, empty.copy())

    def begin(self, batch: int) -> Slots:
        """Memory of `batch` fresh lanes."""
        blank = jnp.zeros((batch, self.slots))
        return Slots(jnp.zeros(batch, jnp.int32), blank.astype(jnp.int32) - 1, blank, blank.copy())

    def prefixes(self, chosen: Array) -> Array:
        """The number of what was chosen before each slot, int32 `[..., H] -> [..., H]`."""
        code = jnp.zeros_like(chosen)
        for back in range(1, self.prefix + 1):
            earlier = jnp.roll(chosen, back, axis=-1).at[..., :back].set(-1)
            code = code * (self.intentions + 1) + earlier + 1
        return code

    def step(self, table: Table, key: Key, slots: Slots, timestep: TimeStep) -> tuple[Array, Slots]:
        """The intentions that act now, int32 `[B]`, and the memory; what arrived is counted first."""
        first = timestep.first()
        age = jnp.where(first, 0, slots.age + 1)
        paid = slots.returns + slots.scale * timestep.reward[:, None]
        slots = Slots(
            age,
            jnp.where(first[:, None], -1, slots.chosen),
            jnp.where(first[:, None], 0.0, paid),
            jnp.where(first[:, None], 0.0, slots.scale * self.discount),
        )
        now = jnp.minimum(age // self.period, self.slots - 1)
        lane = jnp.arange(age.shape[0])
        code = self.prefixes(slots.chosen)[lane, now]
        logits = table.value[now, code] / self.temperature if self.learned else jnp.zeros((lane.size, self.intentions))
        drawn = jax.random.categorical(key, logits).astype(jnp.int32)
        chosen, scale = slots.chosen[lane, now], slots.scale[lane, now]
        held = jnp.where(chosen < 0, drawn, chosen)
        opens = (chosen < 0) & ~timestep.last()  # no slot begins where no action follows
        chosen, scale = jnp.where(opens, drawn, chosen), jnp.where(opens, 1.0, scale)
        return held, slots._replace(
            chosen=slots.chosen.at[lane, now].set(chosen), scale=slots.scale.at[lane, now].set(scale)
        )

    def learn(self, table: Table, steps: Step) -> Table:
        """The table after the episodes that end in rows 0, ..., T - 1 of a fresh window `[T+1, B]`.

        Rows have `chosen` and `returns` of the lanes' memory among their extras.
        """
        rows: Any = jax.tree.map(lambda x: x[:-1], (steps.timestep.last(), steps.extras))
        ended, chosen, returns = rows[0], rows[1]["chosen"], rows[1]["returns"]
        used = (ended[..., None] & (chosen >= 0)).astype(jnp.float32)
        slot = jnp.broadcast_to(jnp.arange(self.slots).reshape((1,) * (chosen.ndim - 1) + (-1,)), chosen.shape)
        at = slot, self.prefixes(chosen), jnp.maximum(chosen, 0)
        blank = jnp.zeros_like(table.value)
        number, total = parallel.total((blank.at[at].add(used), blank.at[at].add(used * returns)))
        count = jnp.maximum(jnp.minimum(table.episodes + number, self.most), number)
        return Table(table.value + (total - number * table.value) / jnp.maximum(count, 1.0), count)
