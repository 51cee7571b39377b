"""Option-critic with networks: its DQN form, and A2OC with a deliberation cost, by arguments.

Bacon, Harb and Precup, "The option-critic architecture", AAAI 2017; Harb, Bacon, Klissarov and Precup, "When waiting is
not an option: learning options with a deliberation cost", AAAI 2018. An option w acts by π_w and ends on arriving at x'
with probability β_w(x'); then another is chosen ε-greedily by Q. With δ the end that was drawn, or β in expectation,

    U_{t+1} = (1 - δ) Q(x_{t+1}, w_t) + δ V(x_{t+1})
    G_t = r_{t+1} - η δ + γ [(1 - λ) U_{t+1} + λ G_{t+1}],                             the last of a window with λ = 0
    L = E[ -ln π_w(a_t|x_t) Â_t - c_e H(π_w) + c_v ℓ(G_t - Q(x_t, w_t)) + β_w(x_{t+1}) (Q(x_{t+1}, w_t) - V + η + ξ) ]

where Â = G - Q(x, w), or G, η is the deliberation cost, which is paid only while the episode goes on, and ξ a margin.
A2OC has λ = 1, ends that were drawn and V = (1 - ε) max Q + ε mean Q. The DQN form has λ = 0, ends in expectation,
V = max Q, a target network, and values that learn from a replay as well. Both codes of the authors train β at the state
from which the option acts; here it is that at which it arrives, as in the papers.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from agents.common import measures, optimisers, recurrence
from agents.common.objectives import taken
from agents.common.options import Carry, followed, fresh
from agents.dqn import epsilon_greedy
from envs import parallel
from networks.base import Network


class State(NamedTuple):
    """What is learned and counted."""

    params: Any
    target: Any  # () without target network
    optimiser: Any
    updates: Array  # int32


def option_critic(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.99,
    lambda_: float | Array = 1.0,
    expected: bool = False,
    deliberation: float | Array = 0.0,
    margin: float | Array = 0.0,
    epsilon: float | Array = 0.1,
    value_cost: float | Array = 0.5,
    entropy_cost: float | Array = 0.01,
    error_clip: float | None = None,
    baseline: bool = True,
    target_period: int | Array | None = None,
    replayed: int = 0,
) -> Agent:
    """The agent; learns from `replay.on_policy()`, or from that and a replay (`replay.fresh_and_replayed`).

    Where it does not explore, options and actions are the likeliest.

    Args:
      network: observation -> `networks.Options`; feed-forward or recurrent.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      lambda_: λ of the returns.
      expected: take ends in expectation, and the best option after them; else as they were drawn.
      deliberation: η.
      margin: ξ.
      epsilon: probability of a random option where one is chosen.
      value_cost: c_v.
      entropy_cost: c_e.
      error_clip: where ℓ becomes linear; None for half the square.
      baseline: learn policies from G - Q(x, w), not from G.
      target_period: updates between copies into the target network; None for no such network.
      replayed: windows of the past at the end of a sample, from which values alone are learned.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        params = network.init(key, timestep.observation)
        target = () if target_period is None else jax.tree.map(jnp.copy, params)
        return State(params, target, optimiser.init(params), jnp.int32(0))

    def act(params: Any, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_network, k_stop, k_option, k_action = jax.random.split(key, 4)
        seen, memory = recurrence.step(network, params, k_network if explore else None, carry.memory, timestep)
        chosen = epsilon_greedy(k_option, seen.q, jnp.float32(epsilon if explore else 0.0))
        ends = jax.nn.sigmoid(seen.stop)
        option, stops = followed(k_stop, carry.option, timestep.first(), ends, chosen, explore)
        logits = taken(seen.logits, option)
        action = jax.random.categorical(k_action, logits) if explore else jnp.argmax(logits, axis=-1)
        extras = {"option": option, "stops": stops, "log_prob": taken(jax.nn.log_softmax(logits), action)}
        return action.astype(jnp.int32), Carry(option, memory), extras

    def loss(params: Any, target: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        seen = recurrence.unroll(network, params, key, steps)
        later = seen if target_period is None else recurrence.unroll(network, target, key, steps)
        option, arrived = steps.extras["option"][:-1], jax.tree.map(lambda x: x[1:], steps.timestep)
        q_tm1, q_t = taken(seen.q[:-1], option), jax.lax.stop_gradient(later.q[1:])
        here, v_t = taken(q_t, option), losses.option_choice(q_t, 0.0 if expected else epsilon)
        end = jax.nn.sigmoid(taken(seen.stop[1:], option))
        drawn = steps.extras["stops"][1:]
        ended = jax.lax.stop_gradient(end) if expected else drawn.astype(jnp.float32)
        going_on = arrived.discount > 0
        returns = jax.vmap(losses.lambda_returns, (1, 1, 1, 1, None), 1)(
            arrived.reward - deliberation * ended * going_on,
            discount * arrived.discount,
            losses.option_arrival(here, ended, v_t),
            steps.timestep.step_type,
            lambda_,
        )
        error = returns - q_tm1
        logits = taken(seen.logits[:-1], option)
        log_prob = taken(jax.nn.log_softmax(logits), steps.action[:-1])
        terms = {
            "policy_loss": losses.policy_gradient(log_prob, error if baseline else returns),
            "termination_loss": losses.termination_loss(end, here, v_t, deliberation + margin) * going_on,
            "entropy": losses.entropy(logits),
            "approx_kl": losses.approx_kl(log_prob, steps.extras["log_prob"][:-1]),
        }
        real = valid(steps)
        lanes = real.shape[1]
        new = real & (jnp.arange(lanes) < lanes - replayed)[None]
        means = {name: parallel.masked_mean(term, new) for name, term in terms.items()}
        of_values = {
            "value_loss": losses.squared(error) if error_clip is None else losses.huber(error, error_clip),
            "q_mean": q_tm1,
            "td_error": jnp.abs(error),
        }
        means |= {name: parallel.masked_mean(term, real) for name, term in of_values.items()}
        total = means["policy_loss"] + means["termination_loss"] + value_cost * means["value_loss"]
        total -= entropy_cost * means["entropy"]
        inside = new & ~arrived.last()
        ends = parallel.masked_mean(drawn.astype(jnp.float32), inside)
        length = 1 / jnp.maximum(ends, 1 / jnp.maximum(jnp.sum(inside), 1))
        explained = measures.explained_variance(q_tm1, returns, real)
        return total, {"loss": total, **means, "option_length": length, "explained_variance": explained}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        gradients, metrics = jax.grad(loss, has_aux=True)(state.params, state.target, key, sample.steps)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params)
        count, target = state.updates + 1, state.target
        if target_period is not None:
            target = optax.periodic_update(params, target, count, target_period)
        return State(params, target, opt_state, count), Info({**metrics, **told})

    return Agent(
        init,
        lambda state: state.params,
        lambda batch: fresh(batch, network.begin(batch)),
        act,
        update,
        lambda carry: carry.memory,
    )
