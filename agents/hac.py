"""The hierarchical actor-critic (HAC): levels that learn side by side, as if those below could already do their part.

Levy, Konidaris, Platt and Saenko, "Learning multi-level hierarchies with hindsight", ICLR 2019. The actions of level
i > 0 are subgoals for level i - 1, which has H of its own actions to reach one; level 0 acts, and the top level pursues
the task's goal. An attempt ends when its goal or a higher one is reached, when H actions are spent, or with the
episode. From state s to the state s' where its action ended, a level learns from transitions of three kinds:

    hindsight action    (s, ã, s', g)        ã is the subgoal, or if that was missed where one got to
    hindsight goal      (s, ã, s', g')       g' was reached later or earlier in the same attempt
    subgoal test        (s, a, -H, end)      a was tested and missed though all actions were spent

with reward 0 and an end where s' reaches the goal, else -1. Of one action there are one, `goals` and at most one of
them; a sample draws actions, and for each the kind in this proportion. While a subgoal is a test, and that is one in
1/λ, no level below explores.

Rows are stored as they come. What belongs to an action is found when it is sampled
(`replay.subgoal_attempts`), from how many rows ago each level's action began; so a replay is a plain ring, and a level
may be any agent conditioned on goals.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select
from replay.subgoal_attempts import Levels


class State(NamedTuple):
    """What each level learns."""

    levels: tuple[Any, ...]

    @property
    def params(self) -> tuple[Any, ...]:
        """What is learned by gradient."""
        return tuple(level.params for level in self.levels)


class Carry(NamedTuple):
    """What goes on in the lanes; entry i is of the subgoal that level i pursues, i = 0, ..., k - 2."""

    subgoal: tuple[Array, ...]  # [B, d]
    age: tuple[Array, ...]  # int32 [B], rows since it was set
    spent: tuple[Array, ...]  # int32 [B], actions of level i since then
    test: tuple[Array, ...]  # bool [B]
    inner: tuple[Any, ...]  # memory of all k levels


def seen(timestep: TimeStep, goal: Array) -> TimeStep:
    """What a level observes."""
    return timestep._replace(observation={"observation": timestep.observation["observation"], "desired_goal": goal})


def hac(agents: Sequence[Agent], levels: Levels, size: int, *, testing: float | Array = 0.3) -> Agent:
    """The agent. It learns from samples that `replay.subgoal_attempts` makes.

    Args:
      agents: k of them, the lowest first; levels above it act in the space of subgoals.
      levels: what they are about.
      size: d.
      testing: λ, the probability that a subgoal is a test.

    Raises:
      ValueError: another number of agents.
    """
    k = levels.num
    if len(agents) != k or k < 1:
        raise ValueError(f"there are {len(agents)} agents for {k} levels")

    def init(key: Key, timestep: TimeStep) -> State:
        blank = levels.project(timestep.observation["observation"])
        goals = [jnp.zeros_like(blank)] * (k - 1) + [timestep.observation["desired_goal"]]
        keys = jax.random.split(key, k)
        return State(tuple(a.init(key, seen(timestep, g)) for a, key, g in zip(agents, keys, goals, strict=True)))

    def begin(batch: int) -> Carry:
        each = lambda x: (x,) * (k - 1)  # noqa: E731
        none = jnp.zeros(batch, jnp.int32)
        inner = tuple(agent.begin(batch) for agent in agents)
        return Carry(each(jnp.zeros((batch, size))), each(none), each(none), each(none > 0), inner)

    def ended(carry: Carry, timestep: TimeStep) -> tuple[list[Array], list[Array]]:
        """Whether the attempt of each level i < k - 1 is over, and how many actions it took."""
        state = levels.project(timestep.observation["observation"])
        hit = [levels.reached(state, subgoal) for subgoal in carry.subgoal]
        top = levels.task.reached(timestep.observation["achieved_goal"], timestep.observation["desired_goal"])
        over, spent, below = [], [], jnp.ones_like(top)
        for i in range(k - 1):
            spent.append(carry.spent[i] + below)
            higher = jnp.any(jnp.stack([*hit[i:], top]), axis=0)
            below = below & (higher | (spent[i] >= levels.horizon)) | timestep.first()
            over.append(below)
        return over, spent

    def act(actor: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        over, spent = ended(carry, timestep)
        subgoal, age, test, inner = (list(x) for x in (carry.subgoal, carry.age, carry.test, carry.inner))
        goal: Array = timestep.observation["desired_goal"]
        tested = jnp.zeros(timestep.reward.shape, bool)
        action: Any = None
        for i in reversed(range(k)):
            k_greedy, k_noisy, k_test = jax.random.split(jax.random.fold_in(key, i), 3)
            view = seen(timestep, goal)
            action, after, _ = agents[i].act(actor[i], k_greedy, inner[i], view, False)
            if explore:
                noisy, after, _ = agents[i].act(actor[i], k_noisy, inner[i], view, True)
                action = select(tested, action, noisy)
            if i == 0:
                inner[0] = after
                break
            new = over[i - 1]
            inner[i] = select(new, after, inner[i])
            drawn = jax.random.uniform(k_test, tested.shape) < testing if explore else tested
            subgoal[i - 1] = select(new, action, subgoal[i - 1])
            test[i - 1] = jnp.where(new, tested | drawn, test[i - 1])
            age[i - 1] = jnp.where(new, 0, age[i - 1] + 1)
            spent[i - 1] = jnp.where(new, 0, spent[i - 1])
            goal, tested = subgoal[i - 1], test[i - 1]
        carry = Carry(tuple(subgoal), tuple(age), tuple(spent), tuple(test), tuple(inner))
        return action, carry, {"subgoal": carry.subgoal, "age": carry.age, "test": carry.test}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        learned: list[Any] = []
        metrics: dict[str, Array] = {}
        for i, agent in enumerate(agents):
            steps: Any = sample.steps[i]
            inner, info = agent.update(state.levels[i], jax.random.fold_in(key, i), sample._replace(steps=steps))
            learned.append(inner)
            metrics |= {f"level{i}_{name}": x for name, x in info.metrics.items()}
        total = sum((metrics[f"level{i}_loss"] for i in range(k)), jnp.float32(0))
        return State(tuple(learned)), Info({**metrics, "loss": total})

    return Agent(init, lambda s: tuple(a.actor(x) for a, x in zip(agents, s.levels, strict=True)), begin, act, update)
