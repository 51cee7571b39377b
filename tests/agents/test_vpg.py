"""VPG learns with members of the Ψ family that differ in what critic they need."""

from typing import Any

import pytest

import networks
import replay
from agents.common import optimisers
from agents.vpg import vpg
from envs.tasks.catch import catch
from experiments.drivers.contract import Parts, Schedule
from tests.agents.learning import learned
from tests.agents.listing import torso

ENV = catch()


@pytest.mark.parametrize(
    "psi", [*(pytest.param(p, marks=pytest.mark.slow) for p in ("reward_to_go", "advantage")), "gae"]
)
def test_learns_catch(psi: Any) -> None:
    critic: Any = networks.QValues(3) if psi == "advantage" else networks.Value()
    network = networks.actor_critic(
        torso(ENV.spec), networks.CategoricalPolicy(3), critic, critic_torso=torso(ENV.spec)
    )
    # Action values are wrong for longer, and a policy that is sure before they are right stays as it is.
    rate, updates = (5e-3, 600) if psi == "advantage" else (2e-2, 200)
    agent = vpg(
        network, optimisers.adam(rate, 1.0), optimisers.adam(3e-3), psi=psi, discount=0.9, entropy_cost=0.01, epochs=8
    )
    returns = learned(ENV, Parts(agent, replay.on_policy(20), Schedule(20)), updates, lanes=16)
    assert (returns > 0.9).all(), returns
