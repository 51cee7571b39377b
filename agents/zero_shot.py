"""A meta controller that carries lists of instructions out by skills it does not change.

Oh, Singh, Lee and Kohli, "Zero-shot task generalization with multi-task deep reinforcement learning", ICML 2017. The
list is read through a pointer; from what it reads, what it sees and whether the last subtask is done, the controller
decides with c ∈ [0, 1] whether to choose anew, and else goes on with the subtask it had:

    π(g) = c π'(g) + (1 - c) 1(g = g_before)        h, pointer ← c new + (1 - c) old

It is an actor-critic over subtasks, with c soft while it learns and 0 or 1 when it is judged. The skills
(`agents.skills`) are learned before the first step, on single instructions.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c, losses, skills
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, select, valid
from agents.common import measures, recurrence
from envs import parallel
from networks.distributions import Categorical
from networks.instructions import Memory, Meta, Skill, Subtask


class State(NamedTuple):
    """What is learned, and the skills, which are not any more."""

    params: Any
    optimiser: Any
    skills: Any


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    skills: Any


def zero_shot(
    meta: Meta,
    subtask: Subtask,
    skill: Skill,
    learned: Callable[[Key], Any],
    optimiser: optax.GradientTransformation,
    *,
    lines: int,
    discount: float | Array = 0.99,
    lambda_: float | Array = 0.95,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
    update_cost: float | Array = 0.01,
) -> Agent:
    """The agent; learns from `replay.on_policy`.

    Args:
      meta: the controller's network.
      subtask: embeddings of subtasks.
      skill: what is done with one of them.
      learned: `(key) -> parameters` of both, in whose training the controller has no part.
      optimiser: of the controller.
      lines: of the list that is read, with those that are empty.
      discount: γ.
      lambda_: λ of the generalised advantage.
      value_cost: weight of the values' loss.
      entropy_cost: weight of the entropy of what is chosen anew.
      update_cost: what deciding anew costs, times c.
    """

    def before(params: Any, which: Array, timestep: TimeStep) -> tuple[Array, Array]:
        """φ of the subtasks `[...]` that were asked for, and whether they are done here."""
        phi = skills.embedded(subtask, params, which)
        said: Any = skill.apply({"params": params["skill"]}, timestep.observation["things"], phi)
        return phi, (said.ending > 0).astype(jnp.float32)

    def opened(memory: Memory, first: Array) -> Memory:
        """Memory that is fresh where an episode begins."""
        return select(first, meta.begin(first.shape[0], lines), memory)

    def decide(
        params: Any, memory: Memory, timestep: TimeStep, phi: Array, done: Array, hard: bool
    ) -> tuple[Array, Any, Any]:
        """Probabilities of the subtasks `[B, S]`, what else there is, and memory."""
        text, seen = timestep.observation["instruction"], timestep.observation["things"]
        chosen, after = meta.apply({"params": params}, memory, seen, done, phi, text, hard)
        fresh = jax.nn.softmax(chosen.logits)
        kept = jax.nn.one_hot(memory.subtask, fresh.shape[-1])
        return chosen.update[:, None] * fresh + (1 - chosen.update[:, None]) * kept, chosen, after

    def init(key: Key, timestep: TimeStep) -> State:
        k_skills, k_meta = jax.random.split(key)
        known = learned(k_skills)
        memory = meta.begin(timestep.reward.shape[0], lines)
        phi, done = before(known, memory.subtask, timestep)
        text, seen = timestep.observation["instruction"], timestep.observation["things"]
        params = meta.init(k_meta, memory, seen, done, phi, text)["params"]
        return State(params, optimiser.init(params), known)

    def act(actor: Actor, key: Key, carry: Memory, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_subtask, k_action = jax.random.split(key)
        carry = opened(carry, timestep.first())
        phi, done = before(actor.skills, carry.subtask, timestep)
        mixture, chosen, after = decide(actor.params, carry, timestep, phi, done, not explore)
        policy = Categorical(jnp.log(mixture + 1e-8))
        which = policy.sample(k_subtask) if explore else policy.mode()
        said: Any = skill.apply(
            {"params": actor.skills["skill"]},
            timestep.observation["things"],
            skills.embedded(subtask, actor.skills, which),
        )
        action = Categorical(said.logits).sample(k_action) if explore else Categorical(said.logits).mode()
        extras = {"subtask": which, "log_prob": policy.log_prob(which), "value": chosen.value}
        return action, after._replace(subtask=which), extras

    def loss(params: Any, known: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        which, begun = steps.extras["subtask"], jax.tree.map(lambda x: x[0], steps.carry)
        earlier = jnp.concatenate([begun.subtask[None], which[:-1]])
        phi, done = before(known, earlier, steps.timestep)

        def row(memory: Memory, row: tuple) -> tuple[Memory, tuple]:
            timestep, phi, done, drawn = row
            mixture, chosen, after = decide(params, opened(memory, timestep.first()), timestep, phi, done, False)
            return after._replace(subtask=drawn), (mixture, chosen)

        _, (mixture, chosen) = jax.lax.scan(row, begun, (steps.timestep, phi, done, which))
        fixed = jax.lax.stop_gradient(chosen.value)
        advantage, target = a2c.targets(steps, fixed, None, discount=discount, lambda_=lambda_)
        log_prob = Categorical(jnp.log(mixture + 1e-8)).log_prob(which)[:-1]
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, advantage),
            "value_loss": losses.squared(target - chosen.value[:-1]),
            "entropy": Categorical(chosen.logits[:-1]).entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
            "updates": chosen.update[:-1],
        }
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        total = means["policy_loss"] + value_cost * means["value_loss"] - entropy_cost * means["entropy"]
        total += update_cost * means["updates"]
        explained = measures.explained_variance(fixed[:-1], target, valid(steps))
        return total, {"loss": total, **means, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        state, metrics = a2c.descend(optimiser, loss, state, state.skills, sample.steps)
        return state, Info(metrics)

    return Agent(
        init,
        lambda state: Actor(state.params, state.skills),
        lambda batch: meta.begin(batch, lines),
        act,
        update,
        recurrence.entire,
    )
