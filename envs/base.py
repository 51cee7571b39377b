"""Environments as two pure functions and a specification, for one lane; drivers `vmap` them.

Episodes end the way dm_env's do. Every episode is FIRST, MID, ..., MID, LAST; the row after a LAST is the FIRST of the
next episode and ignores the action. A terminated episode ends in LAST with discount 0; a truncated one (time limit)
ends in LAST with discount 1 and its true final observation, so bootstrapping from it is right.

`episodic` turns the physics of one episode into an `Environment` with next-step auto-reset, exact truncation and a
time limit, so that a task file holds nothing but its task.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

import jax
import jax.numpy as jnp
import numpy as np

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
Tree: TypeAlias = Any

FIRST, MID, LAST = 0, 1, 2


class TimeStep(NamedTuple):
    """What an environment returns; each field is batched alike, `[]`, `[B]` or `[T, B]`."""

    step_type: Array  # int8: FIRST, MID or LAST
    reward: Array  # float32; 0 at FIRST
    discount: Array  # float32; 0 only at termination (or life loss, where asked for), never at truncation
    observation: Tree

    def first(self) -> Array:
        """Boolean, shaped as `step_type`: this row opens an episode."""
        return self.step_type == FIRST

    def last(self) -> Array:
        """Boolean, shaped as `step_type`: this row closes an episode."""
        return self.step_type == LAST


class Discrete(NamedTuple):
    """Actions 0, ..., num - 1 (int32), or an observation that is such a number."""

    num: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one element: `()`."""
        return ()

    @property
    def dtype(self) -> Any:
        """`int32`."""
        return np.int32


class Box(NamedTuple):
    """An array with elementwise bounds; `low` and `high` are floats or arrays of `shape`."""

    shape: tuple[int, ...]
    low: Any = -np.inf
    high: Any = np.inf
    dtype: Any = np.float32


Space = Discrete | Box


class MultiDiscrete(NamedTuple):
    """Actions of several numbers at once, the k-th of them 0, ..., nums[k] - 1 (int32)."""

    nums: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one element: how many numbers."""
        return (len(self.nums),)

    @property
    def dtype(self) -> Any:
        """`int32`."""
        return np.int32


def byte_scale(space: Space) -> float | tuple[float, ...]:
    """What networks divide the bytes (uint8) of a space by, so that they lie in [0, 1]: its `high`; 1 for other spaces.

    One number, but for vectors of bytes whose bounds differ, which have one each. Where no sensible bound is given it
    is 255. Whole numbers of other dtypes, and floats, are never divided, even if their bounds are finite and wide:
    bounds of counts and scores say little of the values that are met, and running statistics do
    (`agents.common.wrappers.normalise_observations`).
    """
    if np.dtype(space.dtype) != np.uint8 or isinstance(space, Discrete):
        return 1.0
    high = np.minimum(np.asarray(space.high, np.float32), 255)
    high = np.where(high > 0, high, 255)
    each = tuple(np.broadcast_to(high, space.shape).tolist()) if len(space.shape) == 1 else ()
    return each if len(set(each)) > 1 else float(np.max(high, initial=0)) or 255.0


class Goals(NamedTuple):
    """What is known of a task with goals; its functions take numpy's arrays and JAX's, of any leading axes.

    The observation of such a task is a dict with `observation`, `achieved_goal` (of the state that was reached) and
    `desired_goal`, the latter two of one space. So the reward of a row can be computed anew for any goal.
    """

    reward: Callable[[Any, Any], Any]
    """`(achieved[..., *goal], desired[..., *goal]) -> float32 [...]`, the reward that arrives with the state."""
    reached: Callable[[Any, Any], Any]
    """The same for success, boolean."""
    terminates: bool = False
    """Whether success ends the episode; else it goes on to its time limit, and success is counted at its end."""
    pays: tuple[float, float] = (-np.inf, np.inf)
    """The least and the most that a reward can be."""


class Rules(NamedTuple):
    """A task's rules as functions of one lane, for whoever plans with them (`agents.world.models.simulator`)."""

    restore: Callable[[Any], Any]
    """`(observation) -> state`, the state that an observation shows; what it does not show is a guess."""
    transition: Callable[[Key, Any, Any], tuple[Any, Array, Array]]
    """`(key, state, action) -> (state, reward, terminated)`."""
    observe: Callable[[Any], Any]
    """`(state) -> observation`."""
    paid: Callable[[Any], Array] | None = None
    """`(observation) -> reward` of arriving there, where that says it all."""
    legal: Callable[[Any], Array] | None = None
    """`(observation) -> bool [A]`, the actions that are allowed; None where all are."""
    turns: bool = False
    """Whether two players move in turn, each paid for what it does and seeing the game from its own side; what follows
    a move is worth the opposite to who made it."""


class Keys(NamedTuple):
    """How tables tell situations apart: by numbers, the first of which tells most and the last of which least."""

    sizes: tuple[int, ...]
    """How many values each number has."""
    of: Callable[..., tuple[Array, ...]]
    """`(observation)` of a choice of subgoal, `(observation, subgoal)` of one of action `-> numbers`, int32."""


class Subgoals(NamedTuple):
    """How a task falls into subtasks, and what a teacher of it knows; functions of one lane, for observations."""

    num: int
    """Subgoals are 0, ..., num - 1."""
    right: Callable[[Any], Array]
    """`(observation) -> subgoal` that the teacher would choose."""
    action: Callable[[Any, Array], Array]
    """`(observation, subgoal) -> action` that the teacher would take towards it."""
    outcome: Callable[[Any, Array, Any], tuple[Array, Array]]
    """`(before, subgoal, after) -> (over, reached)`: whether the way to it ends with this step, and at the subgoal."""
    solved: Callable[[Any], Array]
    """`(observation) -> bool`: whether the whole task is done."""
    high: Keys
    """Of choices of a subgoal."""
    low: Keys
    """Of choices of an action."""
    give_up: int | None = None
    """The action that ends an episode, if there is one."""
    whole: Any = None
    """The same task as one single subtask, for learners that do not divide it."""


class Vocabulary(NamedTuple):
    """What the numbers of a text stand for: its words one after the other, then zeros (`envs.text`)."""

    entry: str
    """The entry of the observation that holds the text, int32 or uint8 `[length]`."""
    words: tuple[str, ...]
    """`words[i]` is what i stands for: "" for 0, the padding, and "?" for 1, any word that is not known."""


class Subtasks(NamedTuple):
    """What the instructions of a task can ask for, and a task of each, for skills to be learned on."""

    sizes: tuple[int, ...]
    """How many values each parameter has; subtasks are their combinations, the last parameter's values fastest."""
    sentences: Any
    """int32 `[subtasks, length]`: how each is told, as a line of the text."""
    seen: Any
    """bool `[subtasks]`: which of them may be trained on."""
    single: Callable[[Any], Any]
    """`(subtask or None) -> Environment` of one instruction: the one given, or any that may be trained on."""


class Auxiliaries(NamedTuple):
    """Rewards beside the task's own, for agents that learn several things at once (`agents.sac_x`)."""

    names: tuple[str, ...]
    rewards: Callable[[Any], Array]
    """`(observation[..., *shape]) -> float32 [..., len(names)]`, that arrive with the state it shows."""


class Spec(NamedTuple):
    """What an agent is built from."""

    name: str
    observation: Any  # a Space, or a dict of them
    action: Space | MultiDiscrete
    time_limit: int | None = None  # steps after which an episode is truncated, if there is such a limit
    goals: Goals | None = None  # of a task with goals whose reward can be computed anew
    rules: Rules | None = None  # of a task whose state can be told from its observation
    subgoals: Subgoals | None = None  # of a task that falls into subtasks, with a teacher
    episodes: int | None = None  # that one task is played for, of a distribution of them; 0 for good
    auxiliaries: Auxiliaries | None = None  # of a task that has rewards beside its own
    block: int | None = None  # episodes after which alone a lane's task may change, where lanes are not in step
    fps: float = 10  # frames a second at which a film of it shows its own time, or what the eye can follow
    vocabulary: Vocabulary | None = None  # of a task that shows a text
    subtasks: Subtasks | None = None  # of a task that is a list of instructions, a line of the text each


def blank(spec: Spec, lanes: int) -> TimeStep:
    """A numpy TimeStep `[lanes]` of zeros with the task's shapes and dtypes."""
    zeros = lambda space: np.zeros((lanes, *space.shape), space.dtype)  # noqa: E731
    is_space = lambda x: isinstance(x, Discrete | Box)  # noqa: E731
    observation = jax.tree.map(zeros, spec.observation, is_leaf=is_space)
    return host_rows(np.zeros(lanes, np.int8), np.zeros(lanes, np.float32), np.zeros(lanes, np.float32), observation)


def host_rows(step_type: np.ndarray, reward: np.ndarray, discount: np.ndarray, observation: Tree) -> TimeStep:
    """A TimeStep of numpy arrays, which the type checker takes for JAX's."""
    return TimeStep(cast(Array, step_type), cast(Array, reward), cast(Array, discount), observation)


class Environment(NamedTuple):
    """A task in pure JAX, one lane: `reset(key)` and `step(state, action)` both return `(state, TimeStep)`.

    `step` on a state whose last TimeStep was LAST ignores the action and returns the FIRST of a new episode.
    `render(state)` gives an RGB frame, uint8 [H, W, 3], where the task has one.
    """

    reset: Callable[[Key], tuple[Any, TimeStep]]
    step: Callable[[Any, Tree], tuple[Any, TimeStep]]
    spec: Spec
    render: Callable[[Any], Array] | None = None


class Pool(NamedTuple):
    """`num_envs` lanes of a simulator outside the graph, with the same TimeStep semantics, as numpy arrays [N].

    `reset()` starts every lane; `send(actions)` starts a step and returns at once where the simulator can; `recv()`
    waits for it. Their arrays are the caller's: later steps must not write into them, because JAX may read an array
    after the call that it was given to. `frame()` gives lane 0 as an RGB array, where the simulator can draw.
    """

    num_envs: int
    reset: Callable[[], TimeStep]
    send: Callable[[Any], None]
    recv: Callable[[], TimeStep]
    spec: Spec
    close: Callable[[], None]
    frame: Callable[[], Any] | None = None


class HostEnvironment(NamedTuple):
    """A task that lives outside the graph: `pool(num_envs, seed)` opens lanes; different seeds share no lane.

    With a sequence of seeds, one per run, the lanes are theirs in equal blocks, in order: block i holds the episodes of
    `pool(num_envs // len(seed), seed[i])`, whichever runs are beside it. `filmed(seed)` opens one lane that draws,
    where lanes that draw cost more than others or may not open at all; else those of `pool` do.
    """

    pool: Callable[[int, int | Sequence[int]], Pool]
    spec: Spec
    filmed: Callable[[int], Pool] | None = None


class EpisodeState(NamedTuple):
    """State of an environment made by `episodic`."""

    inner: Any
    key: Key
    t: Array  # int32, steps since FIRST
    done: Array  # bool, the last TimeStep was LAST


def episodic(
    initial: Callable[[Any], Any],
    transition: Callable[[Any, Any, Tree], tuple[Any, Array, Array]],
    observe: Callable[[Any], Tree],
    spec: Spec,
    render: Callable[[Any], Array] | None = None,
    draw: Callable[[Key], Any] = lambda key: key,
) -> Environment:
    """An auto-resetting environment from the physics of one episode.

    Args:
      initial: `(key) -> state`.
      transition: `(key, state, action) -> (state, reward, terminated)`.
      observe: `(state) -> observation`, of the states that both give.
      spec: its `time_limit`, if any, truncates. A termination on the last allowed step stays a termination.
      render: `(state) -> uint8 [H, W, 3]`.
      draw: `(key) -> numbers`, which `initial` and `transition` are then given in the key's place: drawn once for both.
    """
    limit = spec.time_limit

    def reset(key: Key) -> tuple[EpisodeState, TimeStep]:
        k_next, k_initial = jax.random.split(key)
        inner = initial(draw(k_initial))
        state = EpisodeState(inner, k_next, jnp.int32(0), jnp.bool_(False))
        return state, TimeStep(jnp.int8(FIRST), jnp.float32(0), jnp.float32(1), observe(inner))

    def step(state: EpisodeState, action: Tree) -> tuple[EpisodeState, TimeStep]:
        k_next, k_step = jax.random.split(state.key)
        drawn = draw(k_step)  # serves both branches: only one of them is kept
        moved, reward, terminated = transition(drawn, state.inner, action)
        began = state.done
        inner = select(began, initial(drawn), moved)
        t = state.t + 1
        ended = terminated if limit is None else terminated | (t >= limit)
        step_type = jnp.where(began, FIRST, jnp.where(ended, LAST, MID)).astype(jnp.int8)
        timestep = TimeStep(
            step_type=step_type,
            reward=jnp.where(began, 0.0, reward).astype(jnp.float32),
            discount=jnp.where(began | ~terminated, 1.0, 0.0).astype(jnp.float32),
            observation=observe(inner),  # once, after the choice: an observation can be larger than its state
        )
        return EpisodeState(inner, k_next, jnp.where(began, 0, t), ended & ~began), timestep

    return Environment(reset, step, spec, render and (lambda state: render(state.inner)))


def batch_of(tree: Tree) -> int:
    """The leading size of a non-empty tree of arrays."""
    return jax.tree.leaves(tree)[0].shape[0]


def select(where: Array, on_true: Tree, on_false: Tree) -> Tree:
    """`jnp.where` over trees; `where` has the leading axes of the leaves and is broadcast over the rest."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(jnp.reshape(where, where.shape + (1,) * (a.ndim - where.ndim)), a, b)

    return jax.tree.map(pick, on_true, on_false)
