"""Presets of the policy-gradient experiments, for `--preset`.

Classic control starts from the tuned settings of Stable-Baselines3's zoo where it has any; what differs is Adam in A2C,
and of PPO and TRPO, on some tasks, the size of minibatches, normalised observations or rewards, and the annealing.
PPO's `mujoco` and `atari` are those of Schulman et al. (2017) as CleanRL has them, values clipped like the policy, with
`mujoco`'s 2048 steps shared out over 8 environments; TRPO's `mujoco` is the zoo's, which has a radius of 0.04 on
HalfCheetah. `dm-control` is `mujoco` on the DeepMind Control Suite. `atari` of A2C is Stable-Baselines3's, with the
step size falling to 0 as in Mnih et al. (2016); losses there are means, as here. `atari` of IMPALA is Espeholt et al.'s
(2018) deep network without memory, whose loss is the sum over 640 steps of ours: ε of RMSProp is divided by 640², the
bound on the gradient by 640, while the mean square from 1 has no such twin and makes for a slower start.

All `atari` play `atari/Pong`, or the game given by `--env`, under the classic protocol of `envs.adapters.atari`.
"""

from typing import Any

from experiments.run.flags import Presets

ATARI: dict[str, Any] = {
    "env": "atari/Pong",
    "env_options": ("protocol=classic",),
    "steps": 10_000_000,
    "eval_episodes": 16,
    "agent.hidden": (512,),
    "agent.shared": True,
    "agent.activation": "relu",
    "agent.clip_rewards": True,
}
MUJOCO: dict[str, Any] = {
    "env": "envpool/HalfCheetah-v4",
    "steps": 1_000_000,
    "num_envs": 8,
    "agent.unroll": 256,
    "agent.epochs": 10,
    "agent.minibatches": 32,
    "agent.learning_rate": 3e-4,
    "agent.value_clip": 0.2,
    "agent.entropy_cost": 0.0,
    "agent.normalise_observations": True,
    "agent.normalise_rewards": True,
}
CONSTRAINED: dict[str, Any] = {
    "env": "envpool/HalfCheetah-v4",
    "steps": 1_000_000,
    "num_envs": 8,
    "agent.unroll": 256,
    "agent.iterations": 25,
    "agent.gae_lambda": 0.95,
    "agent.epochs": 20,
    "agent.minibatches": 16,
    "agent.normalise_observations": True,
    "agent.normalise_rewards": True,
}

PPO: Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 8,
        "agent.unroll": 32,
        "agent.epochs": 20,
        "agent.minibatches": 1,
        "agent.learning_rate": 1e-3,
        "agent.anneal_clip": True,
        "agent.discount": 0.98,
        "agent.gae_lambda": 0.8,
        "agent.entropy_cost": 0.0,
    },
    "acrobot": {
        "env": "gymnax/Acrobot-v1",
        "steps": 1_000_000,
        "num_envs": 16,
        "agent.unroll": 256,
        "agent.epochs": 4,
        "agent.minibatches": 32,
        "agent.learning_rate": 3e-4,
        "agent.gae_lambda": 0.94,
        "agent.entropy_cost": 0.0,
        "agent.normalise_observations": True,
    },
    "pendulum": {
        "env": "bellmax/pendulum",
        "steps": 100_000,
        "num_envs": 4,
        "agent.unroll": 512,
        "agent.epochs": 10,
        "agent.minibatches": 32,
        "agent.learning_rate": 1e-3,
        "agent.anneal": False,
        "agent.discount": 0.9,
        "agent.entropy_cost": 0.0,
        "agent.normalise_observations": True,
        "agent.normalise_rewards": True,
    },
    "mujoco": MUJOCO,
    "dm-control": MUJOCO | {"env": "envpool/CheetahRun-v1"},
    "atari": ATARI
    | {
        "num_envs": 8,
        "agent.unroll": 128,
        "agent.clip": 0.1,
        "agent.value_clip": 0.1,
    },
}

A2C: Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 500_000,
        "num_envs": 8,
        "agent.unroll": 5,
        "agent.learning_rate": 7e-4,
        "agent.anneal": True,
        "agent.gae_lambda": 1.0,
        "agent.entropy_cost": 0.0,
    },
    "atari": ATARI
    | {
        "num_envs": 16,
        "agent.unroll": 5,
        "agent.optimiser": "rmsprop",
        "agent.learning_rate": 7e-4,
        "agent.gae_lambda": 1.0,
    },
}

TRPO: Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 2,
        "agent.unroll": 512,
        "agent.damping": 1e-3,
        "agent.epochs": 20,
    },
    "pendulum": {
        "env": "bellmax/pendulum",
        "steps": 100_000,
        "num_envs": 2,
        "agent.unroll": 1024,
        "agent.damping": 0.1,
        "agent.discount": 0.9,
        "agent.gae_lambda": 0.95,
        "agent.epochs": 15,
        "agent.minibatches": 16,
        "agent.normalise_observations": True,
        "agent.normalise_rewards": True,
    },
    "mujoco": CONSTRAINED,
    "dm-control": CONSTRAINED | {"env": "envpool/CheetahRun-v1"},
}

# Not the zoo's, which has no ACER.
ACER: Presets = {
    "cartpole": {
        "env": "gymnax/CartPole-v1",
        "steps": 100_000,
        "num_envs": 8,
        "agent.unroll": 8,
        "agent.updates": 16,
        "agent.learning_rate": 1e-3,
        "agent.value_cost": 8.0,
        "agent.trust": 0.3,
        "agent.max_grad_norm": 0.5,
        "agent.entropy_cost": 0.0,
    },
}

IMPALA: Presets = {
    "cartpole": {"env": "gymnax/CartPole-v1", "steps": 500_000, "agent.lag": 16},
    "atari": ATARI
    | {
        "steps": 50_000_000,
        "num_envs": 32,
        "agent.cnn": "impala",
        "agent.hidden": (256,),
        "agent.unroll": 20,
        "agent.optimiser": "rmsprop",
        "agent.optimiser_eps": 0.01 / 640**2,
        "agent.learning_rate": 6e-4,
        "agent.max_grad_norm": 40 / 640,
    },
}

PRESETS: dict[str, Presets] = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "acer": ACER, "impala": IMPALA}
"""By experiment."""
