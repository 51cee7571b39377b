"""What presets of several policy-gradient experiments begin with."""

from typing import Any

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
"""`atari/Pong`, or the game given by `--env`, under the classic protocol of `envs.adapters.atari`."""
