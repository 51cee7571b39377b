"""The agents that the contract and the probes run over. A new agent adds one entry here."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

import networks
import replay
from agents import gail, losses
from agents import sac as soft
from agents.a2c import a2c
from agents.acer import acer
from agents.acktr import acktr
from agents.base import Agent, Info, Key, Sample, TimeStep
from agents.common import adversarial, bonuses, objectives, optimisers, wrappers
from agents.common.action_noise import gaussian
from agents.common.critics import with_action
from agents.common.curiosity import curious
from agents.common.streams import Stream
from agents.ddpg import Params, ddpg
from agents.doya import adapted
from agents.dqn import Munchausen, dqn
from agents.dreamer import Behaviour, dreamer
from agents.fun import fun
from agents.i2a import i2a
from agents.impala import impala
from agents.kickstart import Teacher, kickstarted, lesson
from agents.merlin import merlin
from agents.meta_gradient import meta_gradient
from agents.muzero import muzero
from agents.naf import naf
from agents.option_critic import option_critic
from agents.ppo import ppo
from agents.pqn import pqn
from agents.r2d2 import r2d2
from agents.reactor import reactor
from agents.td_mpc2 import td_mpc2
from agents.trpo import Region, trpo
from agents.unreal import unreal
from agents.vpg import vpg
from agents.world import dreams, latent, models, scalars
from agents.world.proposals import Mppi
from envs import experts
from envs.base import Box, Spec
from experiments import parts
from experiments.drivers.contract import Parts, Schedule
from networks.predictor import MemoryPolicy, Predictor, modalities
from networks.world import RSSM, Head, Kind, Policy, World


class Entry(NamedTuple):
    """How to build an agent for the tests, and what it takes to learn catch."""

    make: Callable[..., Parts]
    """`(spec, **overrides)`; the overrides are arguments of the agent."""
    chunks: int = 24
    """Chunks of 200 steps in each of 8 lanes in which it learns catch on every seed."""
    whole: dict[str, Any] = {}  # noqa: RUF012
    """Overrides under which an update takes one gradient step on the whole window."""
    slow: bool = False
    """Its contract takes minutes to compile and is run by hand."""
    flips: int = 0
    """Seeds of eight in which a rounding may decide what is drawn, a window or an action, after which all differs."""


def torso(spec: Spec) -> networks.Torso:
    return networks.Torso(spec.observation, (32,), cnn=None)


def actor_critic(spec: Spec, core: Any = None) -> networks.Network:
    if isinstance(spec.action, Box):
        policy: Any = networks.GaussianPolicy(spec.action.shape[0])
    else:
        policy = networks.CategoricalPolicy(spec.action.num)
    return networks.actor_critic(torso(spec), policy, networks.Value(), core)


def q_learner(spec: Spec, core: Any = None, length: int = 1, **overrides: Any) -> Parts:
    network = networks.q_network(torso(spec), networks.QValues(spec.action.num), core)
    settings = {
        "discount": 0.9,
        "epsilon": 0.2,
        "target_rate": 0.05,
        "objective": objectives.expected(1.0),
        **overrides,
    }
    # With Adam's usual ε a weight whose gradient is rounding alone moves as far as any other, unlike in each driver.
    agent = dqn(network, optimisers.adam(2e-3, eps=1e-5), **settings)
    return Parts(agent, replay.uniform(4000, 32, length), Schedule(4, 2, 8))


def dqn_parts(spec: Spec, **overrides: Any) -> Parts:
    return q_learner(spec, **overrides)


def drqn_parts(spec: Spec, **overrides: Any) -> Parts:
    return q_learner(spec, networks.GRU(16), 6, **overrides)


def distributional(spec: Spec, head: networks.ActionValues, noise: Any = None, **overrides: Any) -> Parts:
    """DQN with whatever head and objective; double, 3-step, prioritised."""
    network = networks.q_network(networks.Torso(spec.observation, (32,), cnn=None, noise=noise), head)
    settings = {"discount": 0.9, "epsilon": 0.2, "target_rate": 0.05, **overrides}
    storage = replay.mapped(
        replay.prioritised(4000, 32, 3, alpha=0.5, single=True), replay.n_step(3, settings["discount"])
    )
    return Parts(dqn(network, optimisers.adam(2e-3), **settings), storage, Schedule(4, 2, 8))


def rainbow_parts(spec: Spec, **overrides: Any) -> Parts:
    noise = networks.Noise(0.5)
    head = networks.CategoricalQ(spec.action.num, dueling=True, noise=noise, atoms=21)
    settings = {"objective": objectives.categorical(jnp.linspace(-1.5, 1.5, 21)), "epsilon": 0.0, **overrides}
    return distributional(spec, head, noise, noisy=True, **settings)


def munchausen_iqn_parts(spec: Spec, fixed: bool = False, **overrides: Any) -> Parts:
    sampled = networks.ImplicitQ(spec.action.num, hidden=(32,), samples=8, embedding=16)
    head = networks.QuantileQ(spec.action.num, hidden=(32,), quantiles=8) if fixed else sampled
    settings = {"objective": objectives.quantile(0.1), "munchausen": Munchausen(), "sampled": not fixed, **overrides}
    return distributional(spec, head, **settings)


def r2d2_parts(spec: Spec, **overrides: Any) -> Parts:
    seen = networks.Torso(wrappers.recalled(spec.observation, spec.action), (32,), cnn=None)
    network = networks.q_network(seen, networks.QValues(spec.action.num), networks.LSTM(16))
    settings = {"discount": 0.9, "n_step": 3, "burn_in": 2, "target_period": 50, **overrides}
    agent = wrappers.recall(r2d2(network, optimisers.adam(3e-3, 40.0), **settings), spec.action)
    return Parts(agent, replay.prioritised(4000, 32, 8, alpha=0.9, stride=2), Schedule(4, 2, 8))


def a2c_parts(spec: Spec, core: Any = None, **overrides: Any) -> Parts:
    agent = a2c(actor_critic(spec, core), optimisers.adam(3e-3, 1.0), **{"discount": 0.9, "lambda_": 0.9, **overrides})
    return Parts(agent, replay.on_policy(8), Schedule(8))


def a2c_meta_parts(spec: Spec, **overrides: Any) -> Parts:
    network, start = actor_critic(spec), {"discount": 0.9, "lambda_": 0.9}
    make = lambda values: a2c(network, optimisers.adam(3e-3, 1.0), **values, **overrides, through=True)  # noqa: E731
    return Parts(meta_gradient(make, start, start, learning_rate=1e-3), replay.on_policy(8), Schedule(8))


def doya_parts(spec: Spec, **overrides: Any) -> Parts:
    network = actor_critic(spec)
    settings = {"lambda_": 0.9, **overrides}
    make = lambda values: a2c(network, optimisers.adam(3e-3, 1.0), **{**values, **settings})  # noqa: E731
    agent = adapted(make, {"discount": 0.9}, ["discount"], sigma=0.05, hold=8)
    return Parts(agent, replay.on_policy(8), Schedule(8))


def kickstart_parts(spec: Spec, **overrides: Any) -> Parts:
    """A2C with an expert that errs as a teacher."""

    def act(key: Key, carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
        right = experts.catch(timestep.observation)
        return networks.Categorical(4.0 * (right[..., None] == jnp.arange(spec.action.num))), carry

    inner = a2c_parts(spec, lesson=lesson(), **overrides)
    teacher = Teacher(lambda lanes: (), act)
    return inner._replace(agent=kickstarted(inner.agent, [teacher], lambda done: jnp.maximum(1 - done / 100, 0.0)))


def a2c_gru_parts(spec: Spec, **overrides: Any) -> Parts:
    return a2c_parts(spec, networks.GRU(16), **overrides)


def fun_parts(spec: Spec, **overrides: Any) -> Parts:
    module = networks.Feudal(torso(spec), spec.action.num, 16, 8, 4, dilation=3)
    settings = {"horizon": 3, "discount": 0.9, "manager_discount": 0.9, "lambda_": 0.9, "alpha": 0.05, **overrides}
    return Parts(fun(module, optimisers.adam(3e-3, 1.0), **settings), replay.on_policy(8), Schedule(8))


def acktr_parts(spec: Spec, **overrides: Any) -> Parts:
    settings = {"learning_rate": 0.3, "radius": 0.01, "decay": 0.95, "discount": 0.9, "lambda_": 0.9, **overrides}
    return Parts(acktr(actor_critic(spec), **settings), replay.on_policy(8), Schedule(8))


def vpg_parts(spec: Spec, **overrides: Any) -> Parts:
    settings = {"discount": 0.9, "entropy_cost": 0.01, "epochs": 8, **overrides}
    network = networks.actor_critic(
        torso(spec), networks.CategoricalPolicy(spec.action.num), networks.Value(), critic_torso=torso(spec)
    )
    agent = vpg(network, optimisers.adam(1e-2, 1.0), optimisers.adam(3e-3), **settings)
    return Parts(agent, replay.on_policy(16), Schedule(16))


def ppo_parts(spec: Spec, core: Any = None, **overrides: Any) -> Parts:
    settings = {"discount": 0.95, "entropy_cost": 0.01, "minibatches": 4, **overrides}
    agent = ppo(actor_critic(spec, core), optimisers.adam(2e-3, 1.0), **settings)
    return Parts(agent, replay.on_policy(16), Schedule(16))


def ppo_lstm_parts(spec: Spec, **overrides: Any) -> Parts:
    return ppo_parts(spec, networks.LSTM(16), **overrides)


def gail_parts(spec: Spec, **overrides: Any) -> Parts:
    inner = ppo_parts(spec, **overrides)
    config = parts.experts.Shown(demonstrations=16)
    shown = parts.experts.transitions(config, spec, 1, 0.9)
    contest = adversarial.Contest(updates=4, batch_size=64)
    judge = gail.judge((32,), "logit")
    return inner._replace(agent=adversarial.imitating(inner.agent, judge, optimisers.adam(2e-3), shown, spec, contest))


def rnd_parts(spec: Spec, core: Any = None, **overrides: Any) -> Parts:
    """PPO with random network distillation in a second stream of rewards."""
    settings = {"discount": 0.95, "entropy_cost": 0.01, "minibatches": 4, "second": Stream(weight=0.1), **overrides}
    policy = networks.CategoricalPolicy(spec.action.num)
    network = networks.actor_critic(torso(spec), policy, networks.Values(2), core)
    module = bonuses.distillation(spec, optimisers.adam(1e-3), hidden=(16,), features=8)
    agent = curious(ppo(network, optimisers.adam(2e-3, 1.0), **settings), module, spec, apart=True, settle=256)
    return Parts(agent, replay.on_policy(16), Schedule(16))


def trpo_parts(spec: Spec, **overrides: Any) -> Parts:
    settings = {"discount": 0.9, "region": Region(0.02), "epochs": 4, **overrides}
    network = networks.actor_critic(
        torso(spec), networks.CategoricalPolicy(spec.action.num), networks.Value(), critic_torso=torso(spec)
    )
    return Parts(trpo(network, optimisers.adam(3e-3), **settings), replay.on_policy(16), Schedule(16))


def impala_parts(spec: Spec, core: Any = None, **overrides: Any) -> Parts:
    settings = {"lag": 4, "discount": 0.9, "lambda_": 0.9, **overrides}
    agent = impala(actor_critic(spec, core), optimisers.adam(3e-3, 1.0), **settings)
    return Parts(agent, replay.on_policy(8), Schedule(8))


def impala_gru_parts(spec: Spec, **overrides: Any) -> Parts:
    return impala_parts(spec, networks.GRU(16), **overrides)


def option_critic_parts(spec: Spec, **overrides: Any) -> Parts:
    network = networks.q_network(torso(spec), networks.OptionHeads(2, spec.action.num))
    agent = option_critic(network, optimisers.adam(5e-3, 1.0), **{"discount": 0.9, "margin": 0.01, **overrides})
    return Parts(agent, replay.on_policy(8), Schedule(8))


def option_dqn_parts(spec: Spec, **overrides: Any) -> Parts:
    network = networks.q_network(torso(spec), networks.OptionHeads(2, spec.action.num, apart=True))
    settings = {"discount": 0.9, "lambda_": 0.0, "expected": True, "target_period": 20, "replayed": 8, **overrides}
    storage = replay.fresh_and_replayed(replay.on_policy(8), replay.uniform(4000, 8, 8))
    return Parts(option_critic(network, optimisers.adam(5e-3, 1.0), **settings), storage, Schedule(8, 1, 1))


def pqn_parts(spec: Spec, **overrides: Any) -> Parts:
    features = networks.Torso(spec.observation, (32,), cnn=None, layer_norm=True)
    network = networks.q_network(features, networks.QValues(spec.action.num))
    settings = {"discount": 0.9, "lambda_": 0.65, "epsilon": 0.2, "minibatches": 4, **overrides}
    return Parts(pqn(network, optimisers.adam(2e-3), **settings), replay.on_policy(16), Schedule(16))


def reactor_parts(spec: Spec, **overrides: Any) -> Parts:
    actions, atoms = spec.action.num, jnp.linspace(-1.0, 1.0, 11)
    critic = networks.CategoricalQ(actions, atoms=11)
    network = networks.forked(torso(spec), networks.CategoricalPolicy(actions), critic)
    settings = {"atoms": atoms, "discount": 0.9, "target_period": 1, "target_rate": 0.02, **overrides}
    agent = reactor(network, optimisers.chain(optax.adam(2e-3, b1=0.0)), **settings)
    return Parts(agent, replay.uniform(4000, 8, 8), Schedule(4, 2, 8))


def merlin_parts(spec: Spec, **overrides: Any) -> Parts:
    seen, actions = modalities(spec.observation), spec.action.num
    scales = {"observation": 1.0, "return": 1.0, "kl": 0.1}
    agent = merlin(
        Predictor(seen, actions, 8, (16,), 1, (32,), width=16),
        MemoryPolicy(actions, 8, (16,), 1, 16),
        optimisers.apart(predictor=optimisers.adam(3e-3, 1.0, 1e-4), policy=optimisers.adam(3e-3, 1.0, 1e-4)),
        **{"scales": scales, "rows": 4, "discount": 0.9, **overrides},
    )
    return Parts(agent, replay.on_policy(8), Schedule(8))


def dreamer_parts(spec: Spec, **overrides: Any) -> Parts:
    how = dreams.Modelling(scalars.two_hot(63), 0.9)
    model = World(modalities(spec.observation), RSSM(Kind("categorical", 4, 4), 64, 32, "block", 4, 1), 63, 64, 1)
    settings = {"horizon": 8, "entropy_cost": 0.01, **overrides}
    sampled = settings.pop("sampled", True)
    agent = dreamer(
        model, Policy("categorical", spec.action.num, 64, 1), Head(63, 64, 1, scale=0.0),
        optimisers.adam(1e-3, 100.0, 1e-5),
        actions=spec.action, modelling=how, values=how.rewards, behaviour=Behaviour(**settings), sampled=sampled,
    )  # fmt: skip
    return Parts(agent, replay.uniform(4000, 8, 8), Schedule(4, 1, 8))


def binned(agent: Agent, num: int) -> Agent:
    """An agent that acts in [-1, 1] on a task of `num` discrete actions: equal parts of that range."""

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Any, Any, Any]:
        unit, carry, extras = agent.act(actor, key, carry, timestep, explore)
        action = jnp.clip((unit[:, 0] + 1) / 2 * num, 0, num - 1).astype(jnp.int32)
        return action, carry, {**extras, "unit": unit}

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        steps = sample.steps
        return agent.update(state, key, sample._replace(steps=steps._replace(action=steps.extras["unit"])))

    return agent._replace(act=act, update=update)


def td3_parts(spec: Spec, **overrides: Any) -> Parts:
    policy = networks.q_network(torso(spec), networks.DeterministicPolicy(1))
    features = networks.Torso(with_action(spec.observation, Box((1,))), (64,), cnn=None)
    critic = networks.ensemble(networks.q_network(features, networks.Value()), 2)
    settings = {"discount": 0.9, "smoothing": 0.2, "delay": 2, "target_rate": 0.05, "epsilon": 0.2, **overrides}
    agent = ddpg(policy, critic, Params(optimisers.adam(1e-3), optimisers.adam(2e-3)), **settings)
    return Parts(binned(agent, spec.action.num), replay.uniform(4000, 64), Schedule(4, 2, 8))


def naf_parts(spec: Spec, **overrides: Any) -> Parts:
    network = networks.q_network(torso(spec), networks.QuadraticQ(1))
    settings = {"discount": 0.9, "target_rate": 0.05, "noise": gaussian(0.5), **overrides}
    agent = naf(network, optimisers.adam(2e-3, eps=1e-5), **settings)
    return Parts(binned(agent, spec.action.num), replay.uniform(4000, 64), Schedule(4, 2, 8))


def sac_parts(spec: Spec, **overrides: Any) -> Parts:
    actions = spec.action.num
    policy = networks.q_network(torso(spec), networks.CategoricalPolicy(actions))
    critic = networks.ensemble(networks.q_network(torso(spec), networks.QValues(actions)), 2)
    chains = soft.Params(*(optimisers.adam(rate, eps=1e-5) for rate in (2e-3, 2e-3, 1e-3)))
    settings = {"discount": 0.9, "target_rate": 0.05, "temperature": 0.1, "target_entropy": 0.3, **overrides}
    agent = soft.sac(policy, critic, chains, discrete=True, **settings)
    return Parts(agent, replay.uniform(4000, 32), Schedule(4, 2, 8))


def acer_parts(spec: Spec, **overrides: Any) -> Parts:
    actions = spec.action.num
    network = networks.actor_critic(torso(spec), networks.CategoricalPolicy(actions), networks.QValues(actions))
    agent = acer(network, optimisers.adam(3e-3, 10.0), **{"discount": 0.9, **overrides})
    return Parts(agent, replay.fresh_and_replayed(replay.on_policy(8), replay.uniform(4000, 8, 8)), Schedule(8, 2, 1))


def pictured(agent: Agent) -> Agent:
    """An agent that sees images, on a task that shows boards: of one channel."""

    def see(timestep: TimeStep) -> TimeStep:
        return timestep._replace(observation=timestep.observation[..., None])

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Any, Any, Any]:
        return agent.act(actor, key, carry, see(timestep), explore)

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        steps = sample.steps._replace(timestep=see(sample.steps.timestep))
        return agent.update(state, key, sample._replace(steps=steps))

    return agent._replace(init=lambda key, timestep: agent.init(key, see(timestep)), act=act, update=update)


def unreal_parts(spec: Spec, **overrides: Any) -> Parts:
    (rows, columns), actions = spec.observation.shape, spec.action.num
    encoder, pixels = networks.Torso(Box((rows, columns, 1)), (), cnn=None), (rows // 5, columns // 5)
    heads = networks.CategoricalPolicy(actions), networks.Value(), networks.PixelValues(pixels, actions)
    settings = {"cell": 5, "replayed": 8, "discount": 0.9, "lambda_": 0.9, **overrides}
    agent = unreal(networks.unreal(encoder, networks.MLP((32,)), *heads), optimisers.adam(3e-3, 1.0), **settings)
    storage = replay.fresh_and_replayed(replay.on_policy(8), replay.uniform(4000, 8, 8))
    return Parts(pictured(agent), storage, Schedule(8, 1, 1))


def i2a_parts(spec: Spec, **overrides: Any) -> Parts:
    features = networks.ImaginationTorso(torso(spec), networks.Torso(spec.observation, (8,), cnn=None), 8, 32)
    network = networks.actor_critic(features, networks.CategoricalPolicy(spec.action.num), networks.Value())
    student = networks.q_network(torso(spec), networks.CategoricalPolicy(spec.action.num))
    settings = {"discount": 0.9, "lambda_": 0.9, "depth": 2, "actions": spec.action.num, **overrides}
    chains = optimisers.adam(3e-3, 1.0), optimisers.adam(3e-3, 1.0)
    agent = i2a(network, chains[0], models.copy(), (), student, chains[1], **settings)
    return Parts(agent, replay.on_policy(8), Schedule(8))


def muzero_parts(spec: Spec, **overrides: Any) -> Parts:
    atoms = jnp.arange(-1.0, 2.0)
    module = networks.LatentModel(torso(spec), spec.action.num, 3, 16, (32,))
    settings = {"search": latent.Search(4), "depth": 3, "n_step": 5, "discount": 0.9, **overrides}
    agent = muzero(
        latent.learned(module, atoms, losses.IDENTITY_PAIR), optimisers.adam(3e-3, 10.0), atoms=atoms,
        tx_pair=losses.IDENTITY_PAIR, **settings,
    )  # fmt: skip
    return Parts(agent, replay.uniform(4000, 32, 8), Schedule(4, 4, 8))


def td_mpc2_parts(spec: Spec, still: bool = False, **overrides: Any) -> Parts:
    """`still` takes the noise out of the policy, of which each device would draw its own."""
    network = networks.control(torso(spec), 1, 21, 32, (32,))
    if still:
        policy = network.policy
        without = lambda p, z: (found := policy(p, z))._replace(log_std=jnp.full_like(found.mean, -20.0))  # noqa: E731
        network = network._replace(policy=without)
    names = ("encoder", "dynamics", "reward", "policy", "critics")
    chains = optimisers.apart(**{name: optimisers.adam(2e-3, 20.0, 1e-5) for name in names})
    settings = {"mppi": Mppi(3, 32, 8, 8, 2), "discount": 0.9, "atoms": jnp.linspace(-2.0, 2.0, 21), **overrides}
    agent = td_mpc2(network, chains, actions=1, target_rate=0.05, **settings)
    return Parts(binned(agent, spec.action.num), replay.uniform(4000, 64, 3), Schedule(4, 4, 8))


WHOLE = {"epochs": 1, "minibatches": 1}

AGENTS = {
    "dqn": Entry(dqn_parts),
    "drqn": Entry(drqn_parts, slow=True),
    "rainbow": Entry(rainbow_parts, chunks=30, flips=1),
    "munchausen_iqn": Entry(munchausen_iqn_parts, whole={"fixed": True}, slow=True),  # each device draws its own levels
    "r2d2": Entry(r2d2_parts),
    "a2c": Entry(a2c_parts),
    "a2c_gru": Entry(a2c_gru_parts, slow=True),
    "a2c_meta": Entry(a2c_meta_parts, slow=True),
    "doya": Entry(doya_parts, slow=True),
    "kickstart": Entry(kickstart_parts, slow=True),
    "vpg": Entry(vpg_parts, whole=WHOLE, slow=True),
    "acer": Entry(acer_parts, slow=True),
    "acktr": Entry(acktr_parts, whole={"curvature": False}, slow=True),  # each device draws its own actions
    "option_critic": Entry(option_critic_parts, chunks=48, slow=True),
    "option_dqn": Entry(option_dqn_parts, chunks=72, whole={"replayed": 0}, slow=True),
    "sac": Entry(sac_parts, slow=True),
    "naf": Entry(naf_parts, slow=True),
    "i2a": Entry(i2a_parts, slow=True),
    "trpo": Entry(trpo_parts, whole=WHOLE, slow=True),
    "unreal": Entry(unreal_parts, whole={"replayed": 0}, slow=True),
    "impala": Entry(impala_parts, slow=True),
    "impala_gru": Entry(impala_gru_parts, slow=True),
    "fun": Entry(fun_parts, slow=True),
    "ppo": Entry(ppo_parts, whole=WHOLE),
    "gail": Entry(gail_parts, slow=True),
    "ppo_lstm": Entry(ppo_lstm_parts, whole=WHOLE),
    "rnd": Entry(rnd_parts, whole=WHOLE, slow=True),
    "pqn": Entry(pqn_parts, whole=WHOLE, slow=True),
    "reactor": Entry(reactor_parts, chunks=16, flips=1, slow=True),
    "td3": Entry(td3_parts, whole={"smoothing": 0.0, "delay": 1}, slow=True),
    "dreamer": Entry(dreamer_parts, whole={"sampled": False, "normalise": False}, slow=True),
    "merlin": Entry(merlin_parts, chunks=40, slow=True),
    "td_mpc2": Entry(td_mpc2_parts, whole={"still": True}, slow=True),
    "muzero": Entry(muzero_parts, flips=1, slow=True),
}
