"""Every loss against float64 numpy written out plainly, under jit, pmap, vmap and none of them."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from agents import losses
from agents.base import FIRST, LAST, MID

T, A = 12, 3
# Terminated, truncated, interrupted (MID before FIRST), cut by the end of the window.
STEP_TYPE = np.array([FIRST, MID, LAST, FIRST, MID, MID, LAST, FIRST, MID, FIRST, MID, MID, MID], np.int8)
DISCOUNT = np.where(np.arange(1, T + 1) == 2, 0.0, 0.9)


def ends(t, step_type):
    """Whether the recursion stops with transition t."""
    return t + 1 == len(step_type) - 1 or step_type[t + 1] == LAST or step_type[t + 2] == FIRST


def lambda_return(t, r, discount, v, step_type, lam):
    if step_type[t + 1] == FIRST:
        return 0.0
    if ends(t, step_type):
        return r[t] + discount[t] * v[t]
    later = lambda_return(t + 1, r, discount, v, step_type, lam)
    return r[t] + discount[t] * ((1 - lam[t]) * v[t] + lam[t] * later)


def reference_lambda_returns(r, discount, v, step_type, lam):
    return np.array([lambda_return(t, r, discount, v, step_type, lam) for t in range(len(r))])


def reference_n_step(n):
    def returns(r, discount, v, step_type):
        out = np.zeros(len(r))
        for t in range(len(r)):
            weight = 1.0
            for k in range(t, len(r)):
                if step_type[k + 1] == FIRST:
                    break
                out[t] += weight * r[k]
                weight *= discount[k]
                if k == t + n - 1 or ends(k, step_type):
                    out[t] += weight * v[k]
                    break
        return out

    return returns


def reference_gae(r, discount, v, step_type, lam):
    out = np.zeros(len(r))
    for t in range(len(r)):
        weight = 1.0
        for k in range(t, len(r)):
            if step_type[k + 1] == FIRST:
                break
            out[t] += weight * (r[k] + discount[k] * v[k + 1] - v[k])
            if step_type[k + 1] == LAST:
                break
            weight *= discount[k] * lam[k]
    return out


def reference_boundaries(step_type):
    valid = [step_type[t + 1] != FIRST for t in range(len(step_type) - 1)]
    return np.array(valid), np.array([valid[t] and not ends(t, step_type) for t in range(len(valid))])


def reference_q_learning(q_tm1, a_tm1, r, discount, q_t):
    return np.array([r[t] + discount[t] * max(q_t[t]) - q_tm1[t][a_tm1[t]] for t in range(len(r))])


def reference_double_q(q_tm1, a_tm1, r, discount, q_t_value, q_t_selector):
    best = [q_t_value[t][np.argmax(q_t_selector[t])] for t in range(len(r))]
    return np.array([r[t] + discount[t] * best[t] - q_tm1[t][a_tm1[t]] for t in range(len(r))])


def reference_value_loss(v, target, old):
    clipped = [o + min(max(x - o, -0.2), 0.2) for x, o in zip(v, old, strict=True)]
    return np.array([0.5 * max((x - g) ** 2, (c - g) ** 2) for x, c, g in zip(v, clipped, target, strict=True)])


def reference_surrogate(log_prob, old, adv):
    ratio = np.exp(log_prob - old)
    return np.array([-min(p * a, min(max(p, 0.8), 1.2) * a) for p, a in zip(ratio, adv, strict=True)])


def reference_entropy(logits):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return -(p * np.log(p)).sum(-1)


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


ACTIONS = np.random.default_rng(9).integers(0, A, T, np.int32)
R, V_ALL, V, LAM = normal(0, T), normal(1, T + 1), normal(2, T), np.random.default_rng(3).uniform(0, 1, T)
Q1, Q2, Q3 = normal(4, T, A), normal(5, T, A), normal(6, T, A)
LOG_PROB, OLD = -np.abs(normal(7, T)), -np.abs(normal(8, T))

CASES = (
    ("boundaries", losses.boundaries, reference_boundaries, (STEP_TYPE,)),
    (
        "gae",
        lambda r, d, v, s, lam: losses.gae(r, d, lam, v, s),
        reference_gae,
        (R, DISCOUNT, V_ALL, STEP_TYPE, LAM),
    ),
    ("lambda_returns", losses.lambda_returns, reference_lambda_returns, (R, DISCOUNT, V, STEP_TYPE, LAM)),
    (
        "n_step_returns",
        lambda r, d, v, s: losses.n_step_returns(r, d, v, s, 3),
        reference_n_step(3),
        (R, DISCOUNT, V, STEP_TYPE),
    ),
    (
        "n_step_returns_beyond_the_window",
        lambda r, d, v, s: losses.n_step_returns(r, d, v, s, 20),
        reference_n_step(20),
        (R, DISCOUNT, V, STEP_TYPE),
    ),
    ("discounted_returns", losses.discounted_returns, reference_n_step(T), (R, DISCOUNT, V, STEP_TYPE)),
    ("q_learning", losses.q_learning, reference_q_learning, (Q1, ACTIONS, R, DISCOUNT, Q2)),
    ("double_q_learning", losses.double_q_learning, reference_double_q, (Q1, ACTIONS, R, DISCOUNT, Q2, Q3)),
    ("squared", losses.squared, lambda x: 0.5 * x**2, (R,)),
    (
        "huber",
        lambda x: losses.huber(x, 0.5),
        lambda x: np.array([0.5 * e**2 if abs(e) < 0.5 else 0.5 * (abs(e) - 0.25) for e in x]),
        (R,),
    ),
    ("clip_gradient", lambda x: losses.clip_gradient(x, -1.0, 1.0), lambda x: x, (R,)),
    ("value_loss", losses.value_loss, lambda v, g: 0.5 * (v - g) ** 2, (V, R)),
    (
        "value_loss_clipped",
        lambda v, g, old: losses.value_loss(v, g, old, 0.2),
        reference_value_loss,
        (V, R, V + 0.5 * R),
    ),
    ("policy_gradient", losses.policy_gradient, lambda p, a: -p * a, (LOG_PROB, R)),
    (
        "clipped_surrogate",
        lambda p, old, a: losses.clipped_surrogate(p, old, a, 0.2),
        reference_surrogate,
        (LOG_PROB, OLD, R),
    ),
    ("surrogate", losses.surrogate, lambda p, old, a: -np.exp(p - old) * a, (LOG_PROB, OLD, R)),
    ("entropy", losses.entropy, reference_entropy, (Q1,)),
    (
        "approx_kl",
        losses.approx_kl,
        lambda p, old: np.exp(p - old) - 1 - (p - old),
        (LOG_PROB, OLD),
    ),
    (
        "clip_fraction",
        lambda p, old: losses.clip_fraction(p, old, 0.2),
        lambda p, old: np.array([float(abs(x - 1) > 0.2) for x in np.exp(p - old)]),
        (LOG_PROB, OLD),
    ),
)


def as_jax(args):
    return tuple(jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in args)


class Golden(chex.TestCase):
    @chex.all_variants
    @parameterized.named_parameters(*CASES)
    def test_value(self, loss, reference, args):
        actual, expected = self.variant(loss)(*as_jax(args)), reference(*args)
        jax.tree.map(lambda a, e: np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5), actual, expected)

    @parameterized.named_parameters(*CASES)
    def test_vmap_over_the_batch_of_a_time_major_window(self, loss, reference, args):
        # The second lane is another stream: values change sign, the episodes stay where they are.
        flipped = tuple(-x if x.dtype == np.float64 and x is not DISCOUNT and x is not LAM else x for x in args)
        both = tuple(np.stack(pair, 1) for pair in zip(args, flipped, strict=True))
        actual = jax.jit(jax.vmap(loss, 1, 1))(*as_jax(both))
        for lane, lane_args in enumerate((args, flipped)):
            jax.tree.map(
                lambda a, e, lane=lane: np.testing.assert_allclose(a[:, lane], e, rtol=1e-5, atol=1e-5),
                actual,
                reference(*lane_args),
            )
