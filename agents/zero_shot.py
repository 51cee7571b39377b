"""A meta controller that carries lists of instructions out by skills it does not change.

Oh, Singh, Lee and Kohli, "Zero-shot task generalization with multi-task deep reinforcement learning", ICML 2017. The
list is read through a pointer. From what it reads, what it sees and whether the last subtask is done, the controller
chooses anew with probability c: its pointer moves by k, and it asks for subtask g; else it goes on with what it had.

    π(go on) = 1 - c        π(k, g) = c l(k) π'(g | the line after k)

It is an actor-critic over these choices. The paper mixes both with the weight c while it learns and takes c for 0 or 1
afterwards; here the choice is drawn, so that memory and pointer are the same in learning as in judgement, where each of
c, k and g is the likeliest. The skills (`agents.skills`) are learned before the first step, on single instructions.
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
from networks.instructions import Chosen, Memory, Meta, Skill, Subtask, moved


class State(NamedTuple):
    """What is learned, and the skills, which are not any more."""

    params: Any
    optimiser: Any
    skills: Any


class Actor(NamedTuple):
    """What acting needs."""

    params: Any
    skills: Any


def choices(chosen: Chosen) -> Categorical:
    """The policy over going on (0) and, from 1, all pairs of a step in the list and a subtask, `[..., 1 + 3 S]`."""
    shift, subtask = jax.nn.log_softmax(chosen.shift), jax.nn.log_softmax(chosen.logits)
    anew = jnp.log(chosen.update + 1e-8)[..., None, None] + shift[..., None] + subtask
    going_on = jnp.log(1 - chosen.update + 1e-8)[..., None]
    return Categorical(jnp.concatenate([going_on, anew.reshape((*shift.shape[:-1], -1))], axis=-1))


def uncertainty(chosen: Chosen) -> Array:
    """The entropy of step and subtask where they are chosen anew, `[...]`.

    How often that is counts as given: a bonus for the entropy of the whole policy pays for choosing anew all the time.
    """
    shift, subtask = Categorical(chosen.shift), Categorical(chosen.logits)
    each = shift.entropy() + jnp.sum(jax.nn.softmax(chosen.shift) * subtask.entropy(), axis=-1)
    return jax.lax.stop_gradient(chosen.update) * each


def likeliest(chosen: Chosen) -> Array:
    """The choice of the likelier decision, the likeliest step and then the likeliest subtask, int32 `[...]`."""
    step = jnp.argmax(chosen.shift, axis=-1)
    logits = jnp.sum(jax.nn.one_hot(step, 3)[..., None] * chosen.logits, axis=-2)
    number = 1 + step * logits.shape[-1] + jnp.argmax(logits, axis=-1)
    return jnp.where(chosen.update > 0.5, number, 0).astype(jnp.int32)


def zero_shot(
    meta: Meta,
    subtask: Subtask,
    skill: Skill,
    learned: Callable[[Key], Any],
    optimiser: optax.GradientTransformation,
    *,
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
        return select(first, meta.begin(first.shape[0]), memory)

    def decide(params: Any, memory: Memory, timestep: TimeStep, phi: Array, done: Array) -> Chosen:
        seen = timestep.observation
        chosen: Any = meta.apply({"params": params}, memory, seen["things"], done, phi, seen["instruction"])
        return chosen

    def settled(memory: Memory, chosen: Chosen, choice: Array, lines: int) -> Memory:
        """Memory after a choice `[B]`, see `choices`."""
        number = jnp.maximum(choice - 1, 0)
        step, which = number // chosen.logits.shape[-1] - 1, number % chosen.logits.shape[-1]
        after = Memory(chosen.c, chosen.h, moved(memory.line, step, lines), which, jnp.ones_like(memory.asked))
        return select(choice > 0, after, memory)

    def init(key: Key, timestep: TimeStep) -> State:
        k_skills, k_meta = jax.random.split(key)
        known = learned(k_skills)
        memory = meta.begin(timestep.reward.shape[0])
        phi, done = before(known, memory.subtask, timestep)
        text, seen = timestep.observation["instruction"], timestep.observation["things"]
        params = meta.init(k_meta, memory, seen, done, phi, text)["params"]
        return State(params, optimiser.init(params), known)

    def act(actor: Actor, key: Key, carry: Memory, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        k_choice, k_action = jax.random.split(key)
        carry = opened(carry, timestep.first())
        phi, done = before(actor.skills, carry.subtask, timestep)
        chosen = decide(actor.params, carry, timestep, phi, done)
        policy = choices(chosen)
        choice = policy.sample(k_choice) if explore else likeliest(chosen)
        carry = settled(carry, chosen, choice, timestep.observation["instruction"].shape[1])
        asked = skills.embedded(subtask, actor.skills, carry.subtask)
        said: Any = skill.apply({"params": actor.skills["skill"]}, timestep.observation["things"], asked)
        action = Categorical(said.logits).sample(k_action) if explore else Categorical(said.logits).mode()
        extras = {"choice": choice, "subtask": carry.subtask, "log_prob": policy.log_prob(choice)}
        return action, carry, {**extras, "value": chosen.value}

    def loss(params: Any, known: Any, steps: Step) -> tuple[Array, dict[str, Array]]:
        begun = jax.tree.map(lambda x: x[0], steps.carry)
        earlier = jnp.concatenate([begun.subtask[None], steps.extras["subtask"][:-1]])
        # What was asked for before an episode began is of no account, as nothing is asked for there.
        phi, done = before(known, jnp.where(steps.timestep.first(), 0, earlier), steps.timestep)

        def row(memory: Memory, row: tuple) -> tuple[Memory, Chosen]:
            timestep, phi, done, choice = row
            memory = opened(memory, timestep.first())
            chosen = decide(params, memory, timestep, phi, done)
            return settled(memory, chosen, choice, timestep.observation["instruction"].shape[1]), chosen

        choice = steps.extras["choice"]
        _, chosen = jax.lax.scan(row, begun, (steps.timestep, phi, done, choice))
        fixed = jax.lax.stop_gradient(chosen.value)
        advantage, target = a2c.targets(steps, fixed, None, discount=discount, lambda_=lambda_)
        policy = choices(jax.tree.map(lambda x: x[:-1], chosen))
        log_prob = policy.log_prob(choice[:-1])
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, advantage),
            "value_loss": losses.squared(target - chosen.value[:-1]),
            "entropy": uncertainty(jax.tree.map(lambda x: x[:-1], chosen)),
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
        meta.begin,
        act,
        update,
        recurrence.entire,
    )
