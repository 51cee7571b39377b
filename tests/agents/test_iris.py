"""IRIS: what the transformer is fitted to, and what is imagined, on a game of which everything is known."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import iris as own
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.iris import iris, model_loss
from envs import keys
from envs.base import Box, Discrete, Spec
from experiments import iris as command
from experiments.run.plans import Size
from networks.token_model import Foretold
from tests.losses.test_models import log_softmax

LANES, T, L, KINDS = 3, 3, 4, 2
RNG = np.random.default_rng(0)


def window() -> Step:
    """A lane that goes on, one that terminates, one that breaks off."""
    kinds = np.array([[FIRST, MID, MID, MID], [MID, LAST, FIRST, MID], [MID, MID, FIRST, MID]], np.int8).T
    ends = np.ones((T + 1, LANES), np.float32)
    ends[1, 1] = 0
    image = RNG.integers(0, 2, (T + 1, LANES, 2, 2)).astype(np.float32)
    reward = RNG.choice([-2.0, 0.0, 0.5], (T + 1, LANES)).astype(np.float32)
    steps = Step(TimeStep(kinds, reward, ends, image), RNG.integers(0, 2, (T + 1, LANES)).astype(np.int32))
    return jax.tree.map(jnp.asarray, steps)


STEPS = window()
TOKENISER = networks.cells((2, 2))
MODULE = networks.TokenModel(L, KINDS, 2, T + 1, 8, 1, 2)


def test_what_is_foretold_is_the_next_token_the_sign_and_the_end() -> None:
    tokens = TOKENISER.encode((), STEPS.timestep.observation.reshape((-1, 2, 2))).reshape((T + 1, LANES, L))
    frames, actions = jnp.swapaxes(tokens, 0, 1), STEPS.action.T
    params = MODULE.init(keys.key(0), frames, actions)["params"]
    each, right, counts = jax.jit(lambda p: model_loss(MODULE, p, tokens, STEPS))(params)
    out = jax.tree.map(np.asarray, MODULE.apply({"params": params}, frames, actions))
    np.testing.assert_array_equal(counts, [[1, 1, 1], [1, 0, 0], [1, 0, 0]])
    for t in range(T):
        for i in range(LANES):
            rows = [(out.token[i, t, L], 0), *((out.token[i, t + 1, j - 1], j) for j in range(1, L))]
            token = [-log_softmax(logits)[tokens[t + 1, i, j]] for logits, j in rows]
            hits = [logits.argmax() == tokens[t + 1, i, j] for logits, j in rows]
            sign = int(np.sign(STEPS.timestep.reward[t + 1, i])) + 1
            ended = int(STEPS.timestep.discount[t + 1, i] == 0)
            np.testing.assert_allclose(each["token_loss"][t, i], np.mean(token), rtol=1e-4)
            np.testing.assert_allclose(right["token_accuracy"][t, i], np.mean(hits), rtol=1e-6)
            np.testing.assert_allclose(
                each["reward_sign_loss"][t, i], -log_softmax(out.reward[i, t, L])[sign], rtol=1e-4
            )
            np.testing.assert_allclose(each["end_loss"][t, i], -log_softmax(out.end[i, t, L])[ended], rtol=1e-4)


def known(monkeypatch: Any, ends_after: int) -> None:
    """A transformer that says: every frame is all ones; the reward is the action's sign; so many steps and it ends."""

    def foretold(module: Any, params: Any, name: str, *args: Any) -> Any:
        if name == "__call__":
            return module.apply({"params": params}, *args)
        cache, x = args
        number = 1 if name == "done" else x.shape[1]
        sure = lambda kind, kinds: 50.0 * jax.nn.one_hot(kind, kinds)  # noqa: E731
        lanes = x.shape[0]
        steps = cache.filled + (name == "done")
        ones = jnp.ones((lanes, number), jnp.int32)
        reward = sure(jnp.where(x == 1, 2, 0)[:, None] if name == "done" else ones, 3)
        end = sure((steps >= ends_after).astype(jnp.int32)[:, None] * ones, 2)
        return Foretold(sure(ones, KINDS), reward, end), cache._replace(filled=steps)

    monkeypatch.setattr(own, "foretold", foretold)


def made(monkeypatch: Any, ends_after: int, warmup: int = 0) -> tuple[Any, list[Step]]:
    """An agent around the known transformer, and where its imagined steps are kept."""
    known(monkeypatch, ends_after)
    kept: list[Step] = []
    objective = own.a2c.objective

    def spying(*args: Any, **settings: Any) -> Any:
        inner = objective(*args, **settings)

        def loss(params: Any, key: Any, steps: Step) -> Any:
            jax.debug.callback(kept.append, steps)
            return inner(params, key, steps)

        return loss

    monkeypatch.setattr(own.a2c, "objective", spying)
    network = networks.actor_critic(
        networks.Torso(Box((2, 2)), (8,), cnn=None), networks.CategoricalPolicy(2), networks.Value()
    )
    chains = optimisers.apart(policy=optimisers.adam(1e-3), model=optimisers.adam(1e-3))
    return iris(TOKENISER, MODULE, network, chains, horizon=3, starts=4, warmup=warmup), kept


def learned(agent: Any, updates: int = 0) -> tuple[Any, Any, Any]:
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS.timestep))._replace(updates=jnp.int32(updates))
    after, info = jax.jit(agent.update)(state, keys.key(1), Sample(STEPS))
    jax.effects_barrier()
    return state, after, info


def test_what_is_imagined_follows_the_model_and_stops_where_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, kept = made(monkeypatch, ends_after=2)
    learned(agent)
    steps = jax.tree.map(np.asarray, kept[0])
    kind, reward, discount, seen = steps.timestep
    begun = kind[1] != FIRST  # not from a LAST frame
    assert begun.any() and kind.shape == (4, 4)
    np.testing.assert_array_equal(kind[:, begun], np.array([MID, MID, LAST, FIRST])[:, None] * np.ones(begun.sum()))
    np.testing.assert_array_equal(discount[1:3, begun], np.array([1.0, 0.0])[:, None] * np.ones(begun.sum()))
    np.testing.assert_array_equal(reward[1:3, begun], np.where(steps.action[:2, begun] == 1, 1.0, -1.0))
    assert (seen[1:] == 1).all()
    assert (kind[1:, ~begun] == FIRST).all()


def test_the_policy_learns_once_the_model_is_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, _ = made(monkeypatch, ends_after=9, warmup=5)
    for updates, moves in ((4, False), (5, True)):
        before, after, _ = learned(agent, updates)
        same = jax.tree.map(np.array_equal, before.params, after.params)
        assert all(jax.tree.leaves(same["policy"])) != moves
        assert not all(jax.tree.leaves(same["model"]))


@pytest.mark.parametrize(
    ("flags", "shape", "told"),
    [
        ({"patch": (3, 1)}, (10, 5), "--agent.patch 3 1: must divide the sides of the images, 10 and 5"),
        ({"patch": (5, 5)}, (10, 5), "--agent.patch 5 5: has 25 bits, of which 12 are allowed"),
        ({"width": 9}, (10, 5), "--agent.width 9: must be a multiple of --agent.heads 2"),
        ({}, (10,), "needs images as observations"),
    ],
)
def test_flags_that_do_not_go_together(flags: Any, shape: Any, told: str) -> None:
    spec = Spec("x", Box(shape, 0.0, 1.0), Discrete(2), 9)
    with pytest.raises(ValueError, match=told):
        command.check(command.Config(**flags), spec, Size(4, 1, 10_000))


def test_bytes_are_no_cells() -> None:
    spec = Spec("x", Box((4, 4, 1), 0, 255, np.uint8), Discrete(2), 9)
    with pytest.raises(ValueError, match="needs images of zeros and ones, not x; allowed: codes"):
        command.check(command.Config(), spec, Size(4, 1, 10_000))
    command.check(command.Config(tokens="codes", patch=(2, 2)), spec, Size(4, 1, 10_000))
