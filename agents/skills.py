"""Skills that take a subtask as their argument, and do what they were never trained on by analogy.

Oh, Singh, Lee and Kohli, "Zero-shot task generalization with multi-task deep reinforcement learning", ICML 2017. A
policy π(a|x; φ(g)) and an ending β(x; φ(g)) are learned of the subtasks g that may be trained on:

    L = d L_distil + (1 - d) L_RL + L_β + ξ (L_sim + ρ₁ L_dis + ρ₂ L_diff)

with d = 1 at first, while policies of teachers, one for each subtask, are distilled, and then 0, while the skills
improve as an actor-critic. The last terms are analogies among the embeddings φ of *all* subtasks: what "pick up the
ball" has beyond "visit the ball", "pick up the key" has beyond "visit the key". Teachers are actor-critics that learn
before the first step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents import a2c, losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import measures
from envs import parallel
from envs.base import Subtasks
from networks.base import Network
from networks.distributions import Categorical
from networks.instructions import Skill, Subtask, named


class Analogies(NamedTuple):
    """How much analogies count, and their margins."""

    weight: float | Array = 1.0  # ξ
    dissimilar: float | Array = 1.0  # ρ₁
    different: float | Array = 1.0  # ρ₂
    dissimilar_margin: float | Array = 1.0
    different_margin: float | Array = 1.0
    samples: int = 32  # analogies of an update


class Teaching(NamedTuple):
    """Teachers of the subtasks that may be trained on."""

    network: Network
    learned: Callable[[Key], Any]  # (key) -> parameters [subtasks that are seen, ...]
    updates: int  # of the skills, in which teachers are distilled


class State(NamedTuple):
    """What is learned."""

    params: Any  # "subtask" and "skill"
    optimiser: Any
    teachers: Any
    updates: Array  # int32


def embedded(subtask: Subtask, params: Any, which: Array) -> Array:
    """φ of the subtasks `[...]`, `[..., E]`."""
    table: Any = subtask.apply({"params": params["subtask"]})
    return jax.nn.one_hot(which, table.shape[0]) @ table


def analogy(key: Key, table: Array, subtasks: Subtasks, how: Analogies) -> dict[str, Array]:
    """The three losses of analogies that are drawn at random.

    Args:
      key: of the draws.
      table: φ of all subtasks, `[S, E]`.
      subtasks: with two parameters.
      how: margins, and how many are drawn.
    """
    first, second = subtasks.sizes
    draw = lambda k, size, below: jax.random.randint(k, (how.samples,), below, size)  # noqa: E731
    keys = jax.random.split(key, 5)
    v, o = draw(keys[0], first, 0), draw(keys[1], second, 0)
    w, p = (v + draw(keys[2], first, 1)) % first, (o + draw(keys[3], second, 1)) % second
    q = (p + draw(keys[4], second, 1)) % second  # any other than the one that makes the analogy
    # A masked product, not a gather: its gradient is no scatter, which is slow on the CPU.
    phi = lambda verb, thing: jax.nn.one_hot(verb * second + thing, first * second) @ table  # noqa: E731
    a, b, c, d, e = phi(v, o), phi(v, p), phi(w, o), phi(w, p), phi(w, q)
    apart = losses.difference(a, b, how.different_margin) + losses.difference(a, c, how.different_margin)
    return {
        "similarity_loss": jnp.mean(losses.similarity(a, b, c, d)),
        "dissimilarity_loss": jnp.mean(losses.dissimilarity(a, b, c, e, how.dissimilar_margin)),
        "difference_loss": jnp.mean(apart),
    }


def skills(
    subtasks: Subtasks,
    subtask: Subtask,
    skill: Skill,
    optimiser: optax.GradientTransformation,
    teaching: Teaching | None,
    *,
    analogies: Analogies = Analogies(),  # noqa: B008
    discount: float | Array = 0.95,
    lambda_: float | Array = 0.95,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
) -> Agent:
    """The agent; learns from `replay.on_policy` on tasks of one instruction, the first line of the text.

    Args:
      subtasks: of the task.
      subtask: their embeddings.
      skill: what is done with one of them.
      optimiser: of both.
      teaching: by whom they are taught at first; None to learn as an actor-critic from the start.
      analogies: among the embeddings.
      discount: γ.
      lambda_: λ of the generalised advantage.
      value_cost: weight of the values' loss.
      entropy_cost: weight of the entropy, once nothing is distilled any more.

    Raises:
      ValueError: subtasks do not have two parameters.
    """
    if len(subtasks.sizes) != 2:
        raise ValueError(f"subtasks: have {len(subtasks.sizes)} parameters; analogies are of two")
    pupil = jnp.asarray(np.maximum(np.cumsum(subtasks.seen) - 1, 0))  # which teacher a subtask has

    def asked(timestep: TimeStep) -> Array:
        return named(subtasks, timestep.observation["instruction"][..., 0, :])

    def says(params: Any, timestep: TimeStep, which: Array) -> Any:
        phi = embedded(subtask, params, which)
        return skill.apply({"params": params["skill"]}, timestep.observation["things"], phi)

    def init(key: Key, timestep: TimeStep) -> State:
        k_subtask, k_skill, k_teach = jax.random.split(key, 3)
        own = subtask.init(k_subtask)["params"]
        phi: Any = subtask.apply({"params": own})
        seen = timestep.observation["things"]
        params = {
            "subtask": own,
            "skill": skill.init(k_skill, seen, jnp.zeros((seen.shape[0], phi.shape[-1])))["params"],
        }
        teachers = teaching.learned(k_teach) if teaching else ()
        return State(params, optimiser.init(params), teachers, jnp.int32(0))

    def act(params: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        said = says(params, timestep, asked(timestep))
        policy = Categorical(said.logits)
        action, log_prob = policy.sample_and_log_prob(key)
        return action if explore else policy.mode(), carry, {"log_prob": log_prob, "value": said.value}

    def taught(teachers: Any, steps: Step, which: Array) -> Array:
        """Logits `[T+1, N, A]` of the teacher of each row's subtask."""
        assert teaching is not None
        rows = steps.timestep
        apply = lambda params: teaching.network.apply(params, None, (), rows.observation, rows.first())[0][0].logits  # noqa: E731
        logits: Any = jax.vmap(apply)(teachers)
        chosen = jax.nn.one_hot(pupil[which], logits.shape[0])
        return jnp.einsum("ptna,tnp->tna", logits, chosen)

    def loss(params: Any, key: Key, steps: Step, teachers: Any, distils: Array) -> tuple[Array, dict[str, Array]]:
        which = asked(steps.timestep)
        said = says(params, steps.timestep, which)
        policy, fixed = Categorical(said.logits[:-1]), jax.lax.stop_gradient(said.value)
        advantage, target = a2c.targets(steps, fixed, None, discount=discount, lambda_=lambda_)
        log_prob = policy.log_prob(steps.action[:-1])
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, advantage),
            "value_loss": losses.squared(target - said.value[:-1]),
            "entropy": policy.entropy(),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
            "ending_loss": losses.ending(said.ending[1:], steps.timestep.reward[1:] > 0),
        }
        if teaching:
            terms["distillation_loss"] = losses.distillation(taught(teachers, steps, which)[:-1], policy.logits)
        means = {name: parallel.masked_mean(term, valid(steps)) for name, term in terms.items()}
        table: Any = subtask.apply({"params": params["subtask"]})
        means |= analogy(key, table, subtasks, analogies)
        likeness = (
            means["similarity_loss"]
            + analogies.dissimilar * means["dissimilarity_loss"]
            + analogies.different * means["difference_loss"]
        )
        reinforced = means["policy_loss"] - entropy_cost * means["entropy"]
        total = distils * means.get("distillation_loss", 0.0) + (1 - distils) * reinforced
        total += value_cost * means["value_loss"] + means["ending_loss"] + analogies.weight * likeness
        explained = measures.explained_variance(fixed[:-1], target, valid(steps))
        return total, {"loss": total, **means, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        distils = jnp.float32(teaching is not None) * (state.updates < (teaching.updates if teaching else 0))
        state, metrics = a2c.descend(optimiser, loss, state, key, sample.steps, state.teachers, distils)
        return state._replace(updates=state.updates + 1), Info(metrics)

    return Agent(init, lambda state: state.params, lambda batch: (), act, update)
