"""Presets of the policy-gradient experiments, for `--preset`.

Classic control follows the tuned settings of Stable-Baselines3's zoo where it has any; `mujoco` and `atari` are those
of Schulman et al. (2017) as CleanRL has them, with `mujoco`'s 2048 steps shared out over 8 environments.
"""

from experiments.flags import Presets

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
    "mujoco": {
        "env": "envpool/HalfCheetah-v4",
        "steps": 1_000_000,
        "num_envs": 8,
        "agent.unroll": 256,
        "agent.epochs": 10,
        "agent.minibatches": 32,
        "agent.learning_rate": 3e-4,
        "agent.entropy_cost": 0.0,
        "agent.normalise_observations": True,
        "agent.normalise_rewards": True,
    },
    "atari": {
        "env": "atari/Pong",
        "env_options": ("protocol=classic",),
        "steps": 10_000_000,
        "num_envs": 8,
        "eval_episodes": 16,
        "agent.unroll": 128,
        "agent.clip": 0.1,
        "agent.hidden": (512,),
        "agent.shared": True,
        "agent.clip_rewards": True,
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
}

IMPALA: Presets = {
    "cartpole": {"env": "gymnax/CartPole-v1", "steps": 500_000, "agent.lag": 16},
}

PRESETS: dict[str, Presets] = {"ppo": PPO, "a2c": A2C, "trpo": TRPO, "impala": IMPALA}
"""By experiment."""
