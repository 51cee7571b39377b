"""With which settings `experiments.benchmark` compares."""

import math
from typing import Any

TASKS = ("bellmax/cartpole", "gymnax/CartPole-v1")

# The settings of both sides, spelt out so that no default of either can change them. Rejax's are those of its own
# CartPole recipe, but for one update per iteration, a plain network, and a warm-up that does not take up most of a
# short run.
DQN = {
    **{"learning_rate": 1e-3, "adam_eps": 1e-8, "max_grad_norm": 10.0, "discount": 0.99, "hidden": (64, 64)},
    **{"layer_norm": False, "double": True, "n_step": 1, "error_clip": None, "batch_size": 100, "buffer_size": 50_000},
    **{"warmup": 1_000, "unroll": 1, "updates": 1, "target_period": 1, "target_rate": 0.02},
    **{"epsilon_start": 1.0, "epsilon_end": 0.05, "epsilon_fraction": 0.5},
}
REJAX_DQN = {
    **{"agent": "QNetwork", "agent_kwargs": {"activation": "relu"}, "num_envs": 10, "buffer_size": 50_000},
    **{"fill_buffer": 1_000, "batch_size": 100, "max_grad_norm": 10, "learning_rate": 1e-3, "num_epochs": 1},
    **{"polyak": 0.98, "eps_start": 1.0, "eps_end": 0.05, "exploration_fraction": 0.5, "gamma": 0.99, "ddqn": True},
}
PPO = {
    **{"learning_rate": 7.5e-4, "adam_eps": 1e-8, "anneal": False, "max_grad_norm": 0.5, "discount": 0.99},
    **{"gae_lambda": 0.95, "clip": 0.2, "value_clip": 0.2, "value_cost": 0.5, "entropy_cost": 0.01},
    **{"normalise_advantages": True, "unroll": 100, "epochs": 5, "minibatches": 5, "hidden": (64, 64)},
    **{"memory": "none", "shared": False, "normalise_observations": False, "normalise_rewards": False},
}
REJAX_PPO = {
    **{"agent_kwargs": {"activation": "tanh"}, "num_envs": 5, "num_steps": 100, "num_epochs": 5},
    **{"num_minibatches": 5, "learning_rate": 7.5e-4, "max_grad_norm": 0.5, "gamma": 0.99, "gae_lambda": 0.95},
    **{"clip_eps": 0.2, "ent_coef": 0.01, "vf_coef": 0.5},
}
# For CartPole's discrete actions: the entropy to keep is 0.98 of the uniform policy's, which is rejax's default.
SAC = {
    **{"learning_rate": 3e-4, "policy_learning_rate": 3e-4, "temperature_learning_rate": 3e-4, "discount": 0.99},
    **{"hidden": (64, 64), "layer_norm": False, "n_step": 1, "batch_size": 100, "buffer_size": 50_000},
    **{"warmup": 1_000, "unroll": 1, "updates": 1, "target_rate": 0.01, "entropy": 0.98 * math.log(2)},
}
REJAX_SAC = {
    **{"agent_kwargs": {"activation": "relu"}, "num_envs": 10, "buffer_size": 50_000, "fill_buffer": 1_000},
    **{"batch_size": 100, "learning_rate": 3e-4, "num_epochs": 1, "polyak": 0.99, "gamma": 0.99},
    **{"target_entropy_ratio": 0.98},
}
# CleanRL's PPO for CartPole, and one of many environments and short unrolls as simulators on accelerators have it.
FOUR_ENVS = {**PPO, "learning_rate": 2.5e-4, "unroll": 128, "epochs": 4, "minibatches": 4}
REJAX_FOUR_ENVS = {
    **REJAX_PPO,
    **{"num_envs": 4, "num_steps": 128, "num_epochs": 4, "num_minibatches": 4, "learning_rate": 2.5e-4},
}
MANY_ENVS = {**PPO, "unroll": 32, "epochs": 4, "minibatches": 8}
REJAX_MANY_ENVS = {**REJAX_PPO, "num_envs": 64, "num_steps": 32, "num_epochs": 4, "num_minibatches": 8}
SMALL_RING = {**DQN, "batch_size": 128, "buffer_size": 10_000}
REJAX_SMALL_RING = {**REJAX_DQN, "batch_size": 128, "buffer_size": 10_000}
# Trainings in graph: part -> (what tells a recipe from others, environments, settings, rejax's, and how many times as
# fast as rejax one seed and sixteen are to be).
RECIPES: dict[str, tuple[tuple[str, int, dict[str, Any], dict[str, Any], dict[int, float]], ...]] = {
    "dqn": (
        ("a replay of 50,000", 10, DQN, REJAX_DQN, {1: 4.0, 16: 4.0}),
        ("a replay of 10,000", 10, SMALL_RING, REJAX_SMALL_RING, {1: 2.5, 16: 2.5}),
    ),
    "ppo": (
        ("5 environments", 5, PPO, REJAX_PPO, {1: 1.5, 16: 2.0}),
        ("4 environments", 4, FOUR_ENVS, REJAX_FOUR_ENVS, {1: 1.5, 16: 2.0}),
        ("64 environments", 64, MANY_ENVS, REJAX_MANY_ENVS, {1: 1.5, 16: 2.0}),
    ),
    "sac": (("10 environments", 10, SAC, REJAX_SAC, {1: 3.0, 16: 3.0}),),
}
# Of both sides: two layers of 256, batches of 256, Adam at 3e-4 for everything, two critics. An update of TD3+BC is two
# steps of the critics and one of the policy, and is counted as two. ORLax's CQL takes 20 actions where ours takes 30.
FROM_DATA: dict[str, dict[str, Any]] = {
    "iql": {"hidden": (256, 256), "batch_size": 256, "anneal_policy": False},
    "cql": {"hidden": (256, 256), "batch_size": 256, "policy_learning_rate": 3e-4},
    "td3_bc": {"hidden": (256, 256), "batch_size": 256},
}
NUM_ENVS = {"dqn": 10, "ppo": 5, "sac": 10}
HOST_ENVS, HOST_SEEDS = 8, 8
HOST_DQN = {**DQN, "batch_size": 128, "double": False, "error_clip": 1.0, "target_rate": 1.0, "target_period": 50}
SB_DQN = {
    **{"learning_rate": 1e-3, "buffer_size": 50_000, "learning_starts": 1_000, "batch_size": 128, "train_freq": 1},
    **{"gradient_steps": 1, "target_update_interval": 50 * HOST_ENVS, "policy_kwargs": {"net_arch": [64, 64]}},
}
HOST_PPO = {**PPO, "learning_rate": 2.5e-4, "value_clip": None, "unroll": 128, "epochs": 4, "minibatches": 4}
SB_PPO = {
    **{"learning_rate": 2.5e-4, "n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01},
    **{"policy_kwargs": {"net_arch": [64, 64]}},
}
HOST_SAC = {**SAC, "entropy": None, "batch_size": 256}
SB_SAC = {
    **{"learning_rate": 3e-4, "buffer_size": 50_000, "learning_starts": 1_000, "batch_size": 256, "train_freq": 1},
    **{"gradient_steps": 1, "tau": 0.01, "policy_kwargs": {"net_arch": [64, 64]}},
}
# Actors apart from the learner: name -> (bellmax's task, that of RLlib or none, environments, steps of a chunk).
UNROLL = 20
SLOW = "a Python environment of 1 ms a step"
SCALE_GOAL = 1.8
SCALE_TASKS = {
    "envpool's CartPole": ("envpool/CartPole-v1", "CartPole-v1", 64, 128_000),
    "gymnasium's CartPole": ("gymnasium/CartPole-v1", "CartPole-v1", 16, 64_000),
    SLOW: (
        *("gymnasium/experiments.benchmarks.simulators:Slow-v0", "experiments.benchmarks.simulators:Slow-v0"),
        *(16, 6_400),
    ),
    "envpool's Pong": ("atari/Pong", "", 16, 640),
}
SCALE_IMPALA = ("--agent.unroll", str(UNROLL), "--agent.hidden", "64", "64", "--eval-episodes", "8")
RLLIB = {"fcnet_hiddens": (64, 64), "fcnet_activation": "tanh"}
SCALE_APE_X = (
    *("--env", "envpool/CartPole-v1", "--num-envs", "16", "--actors", "2", "--engine", "ray", "--actor-rows", "20"),
    *("--eval-episodes", "8"),
)
SCALE_FRAMES = (
    *("--env", "gymnasium/experiments.benchmarks.simulators:Frames-v0", "--num-envs", "16", "--actors", "2"),
    *("--engine", "ray", "--actor-rows", "20", "--agent.frames", "1", "--agent.updates", "1", "--agent.batch-size"),
    *("32", "--agent.hidden", "64", "--agent.warmup", "640", "--steps", "3840", "--eval-episodes", "8", "--keep", "1"),
)
# Agents that do more in each step than those they are compared with, of whose speed a goal is a share:
# (task, its options, environments, steps, agents).
LEVELS = {"size": 7, "boxes": 2, "fewest": 1, "num_levels": 500}
SMALL = {
    **{"optimiser": "adam", "channels": (16, 16), "hidden": 64, "code": 32, "depth": 5, "unroll": 10},
    **{"rollout_channels": (), "rollout_hidden": 32, "encoder_channels": ()},
}
CARDS = {"unroll": 13, "lstm": (64,), "hidden": (64,), "recall": False}
WORDS = ("learning-rate=7.5e-4", "anneal=false", "unroll=100", "epochs=5", "minibatches=5", "hidden=64,64")
CURIOUS = {"around": "ppo", "inner": WORDS, "bonus_hidden": (64, 64)}
LEARNER = {name: PPO[name] for name in ("learning_rate", "anneal", "unroll", "epochs", "minibatches", "hidden")}
MINDS: dict[str, tuple[str, dict[str, Any], int, int, dict[str, tuple[str, dict[str, Any]]]]] = {
    "Sokoban, 7x7": (
        *("bellmax/sokoban", LEVELS, 32, 25_600),
        {
            "standard agent": ("i2a", {**SMALL, "world": "none"}),
            "I2A, exact model": ("i2a", {**SMALL, "world": "exact"}),
        },
    ),
    "card pairs, 8 cards": (
        *("bellmax/card-pairs", {"cards": 8}, 128, 133_120),
        {
            "RL-LSTM": ("rl_mem", {**CARDS, "memory": "lstm"}),
            "MERLIN": ("merlin", {**CARDS, "rows": 13}),
            "RL-MEM": ("rl_mem", {**CARDS, "memory": "rows", "rows": 13}),
        },
    ),
    "CartPole, with RND": (
        *("bellmax/cartpole", {}, 5, 100_000),
        {"PPO": ("ppo", LEARNER), "PPO, RND": ("rnd", CURIOUS)},
    ),
    "CartPole, with a constant bonus": (
        *("bellmax/cartpole", {}, 5, 100_000),
        {"PPO alone": ("ppo", LEARNER), "PPO, constant bonus": ("counts", {**CURIOUS, "of": "constant"})},
    ),
    "CartPole, by a tree search": (
        *("bellmax/cartpole", {}, 16, 6_400),
        {f"MuZero, {n} simulation{'s' * (n > 1)}": ("muzero", {"simulations": n, "updates": 4}) for n in (1, 16, 50)},
    ),
}
TRIALS = "bandit-two"
"""The preset of experiments.rl2 whose trials are counted."""
MIND_GOALS = {"standard agent": 0.1, "RL-LSTM": 0.2, "PPO": 0.5, "PPO alone": 1 / 1.05, "MuZero, 1 simulation": 0.1}
# Of experiments.dqn: DQN without any part of Rainbow, and with one or all of them.
PLAIN = {"hidden": (128, 128), "layer_norm": False, "double": False, "n_step": 1, "batch_size": 128}
RAINBOW = {
    **{"double": True, "dueling": True, "n_step": 3, "priorities": "proportional", "noisy": "factorised"},
    **{"objective": "categorical", "epsilon_start": 0.0, "epsilon_end": 0.0},
}
Q_PARTS: dict[str, dict[str, Any]] = {
    "DQN": {},
    "double": {"double": True},
    "dueling": {"dueling": True},
    "n-step": {"n_step": 3},
    "prioritised": {"priorities": "proportional"},
    "prioritised by rank": {"priorities": "rank"},
    "noisy": {"noisy": "factorised"},
    "categorical (C51)": {"objective": "categorical"},
    "all of these, Rainbow": RAINBOW,
    "quantiles (QR-DQN)": {"objective": "quantile"},
    "IQN": {"objective": "implicit", "quantiles": 32},
    "Munchausen": {"munchausen": True},
}
