"""Presets of goals and hierarchies, for `--preset`; see `experiments.parts.presets`.

`bit-flip` is section 3.1 of HER's paper, with DQN. `push` is FetchPush at the scale of the released code, whose 19
workers play two episodes each per cycle. `point` is HIRO on a point maze, in whose units are goals and noise; as in the
paper's AntMaze it is trained on goals anywhere and judged at the far one.
"""

from experiments.run.flags import Presets

HER: Presets = {
    "bit-flip": {
        "env": "bellmax/bit-flip",
        "num_envs": 16,
        "eval_episodes": 256,
        "agent.hidden": (256,),
        "agent.batch_size": 128,
        "agent.buffer_size": 200_000,
        "agent.unroll": 21,
        "agent.epsilon": 0.2,
        "agent.normalise_observations": False,
    },
    "push": {"env": "envpool/FetchPush-v4", "num_envs": 38, "steps": 2_000_000, "eval_episodes": 64},
}
HIRO: Presets = {
    "point": {
        "env": "bellmax/point-maze",
        "env_options": ("goal=any",),
        "eval_env_options": ("goal=far",),
        "num_envs": 8,
        "steps": 80_000,
        "eval_episodes": 32,
        "agent.discount": 0.95,
        "agent.goal_range": (2.0, 2.0),
        "agent.low_sigma": 0.2,
        "agent.high_sigma": 0.5,
        "agent.high_epsilon": 0.5,
        "agent.smoothing": 0.1,
        "agent.smoothing_limit": 0.2,
        "agent.policy_learning_rate": 3e-4,
        "agent.target_rate": 0.01,
        "agent.hidden": (64, 64),
        "agent.warmup": 4_000,
        "agent.unroll": 10,
        "agent.updates": 8,
    },
}
