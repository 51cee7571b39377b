"""Commands that put a bonus around an agent by name: which agents, with which flags, and what is refused."""

import jax
import pytest

from envs import keys
from experiments import counts, icm, parts, rnd, surprise
from experiments.drivers import in_graph
from experiments.run import flags, prepare

SMALL = {
    "ppo": ["memory=lstm", "hidden=8", "unroll=8", "minibatches=2"],
    "a2c": ["memory=gru", "hidden=8", "unroll=8"],
    "trpo": ["hidden=8", "unroll=8", "minibatches=2"],
    "dqn": ["hidden=8", "warmup=100", "buffer-size=1000", "batch-size=8"],
    "sac": ["hidden=8", "warmup=100", "buffer-size=1000", "batch-size=8"],
    "r2d2": ["hidden=8", "memory-size=8", "head=8", "warmup=100", "recall=true", "length=4", "buffer-size=1000"],
}


def built(command, words):
    """The parts that a command makes of a command line, and its task."""
    experiment = command.experiment
    config = flags.parse(experiment.flags, ["--env", "bellmax/catch", "--num-envs", "4", *words], "x.y")
    env, size = prepare.environment(config), prepare.size_of(config)
    experiment.check(config.agent, env.spec, size)
    return env, experiment.make(config.agent, env.spec, size)


@pytest.mark.parametrize("command", [icm, rnd])
@pytest.mark.parametrize("around", SMALL)
def test_a_bonus_goes_around_any_agent(command, around):
    """Feed-forward or recurrent, on-policy or with a replay: a step is traced, and keeps the shapes of the run."""
    words = ["--agent.around", around, "--agent.inner", *SMALL[around], "--agent.bonus-hidden", "8"]
    mixed = ["--agent.no-apart"] if command is rnd and around not in parts.around.TWO_VALUES else []
    env, made = built(command, [*words, *mixed])
    loop = in_graph.loop(env, *made, num_envs=4, iterations=1)
    run = jax.eval_shape(loop.init, keys.key(0))
    after, metrics = jax.eval_shape(loop.step, run)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), run) == jax.tree.map(lambda x: (x.shape, x.dtype), after)
    assert {"bonus", "bonus_loss", "loss"} <= metrics.keys()


def test_flags_of_the_agent_within_are_its_own():
    _, own = parts.around.inner(
        rnd.Config(inner=("learning-rate=1e-3", "hidden=8,16", "max-grad-norm=inf", "anneal=false", "kl-cost=null"))
    )
    assert (own.learning_rate, own.hidden, own.anneal, own.kl_cost) == (1e-3, (8, 16), False, None)
    assert own.max_grad_norm == float("inf")


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        (rnd, ["--agent.coefficient", "-1"], "--agent.coefficient -1"),
        (rnd, ["--agent.around", "trpo"], "--agent.apart: --agent.around trpo has one value; allowed: ppo, a2c"),
        (rnd, ["--agent.inner", "unrol=3"], "--agent.inner unrol=3: ppo has no such flag; closest: unroll"),
        (rnd, ["--agent.inner", "unroll"], "--agent.inner unroll: write NAME=VALUE"),
        (rnd, ["--agent.inner", "unroll=0"], "--agent.inner unroll=0: must be at least 1"),
        (rnd, ["--agent.inner", "unroll=x"], "--agent.inner unroll=x: must be a whole number"),
        (rnd, ["--agent.inner", "minibatches=3"], "--agent.inner minibatches 3: must divide"),
        (rnd, ["--agent.bonus-hidden"], "--agent.bonus-hidden (empty): must be one layer or more"),
        (icm, ["--agent.around", "dqn", "--agent.inner", "n-step=3"], "--agent.inner n-step=3: the bonus learns"),
        (icm, ["--agent.models", "3"], "--agent.models 3: they disagree on --agent.features random"),
        (rnd, ["--env", "bellmax/pendulum", "--agent.episodic"], "--env bellmax/pendulum: episodic: actions are"),
        (counts, ["--env", "bellmax/pendulum", "--agent.around", "sac", "--agent.of", "pairs"], "need Discrete ones"),
        (surprise, ["--agent.floor", "0"], "--agent.floor 0"),
    ],
)
def test_what_does_not_go_together_is_refused(command, words, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([*words, "--out", str(tmp_path / "run")])
    assert stop.value.code == 2 and told in capsys.readouterr().err
