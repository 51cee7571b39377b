"""The static sizes and schedule of a run."""

import dataclasses
import math
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.run import flags

if TYPE_CHECKING:
    from experiments.drivers.contract import Parts
    from experiments.run.flags import Common


class Size(NamedTuple):
    """What `make` may need to know of the run beside the agent's own flags."""

    num_envs: int
    """Lanes on each device."""
    devices: int
    """Devices that share each seed; batches and buffers are per device."""
    steps: int
    """Environment steps per seed over which schedules run; updates where nothing is acted."""
    data: Any = None
    """What is known of the dataset that is learned from, `replay.Facts`; None where there is none."""

    def per_device(self, total: int, name: str) -> int:
        """`total` shared out over the devices.

        Raises:
          ValueError: it does not divide.
        """
        if total < 1 or total % self.devices:
            raise ValueError(f"{flags.flag(name)} {total}: must be a positive multiple of --devices {self.devices}")
        return total // self.devices


class Plan(NamedTuple):
    """The static schedule of a run, in chunks."""

    warmup_steps: int
    chunk_steps: int
    iterations: int
    chunks: int
    eval_every: int
    save_every: int
    turn_every: int = 0
    """Chunks between turns of a population; 0 without one."""

    def env_steps(self, chunks: int) -> int:
        """Environment steps per seed after so many chunks; updates where nothing is acted."""
        return self.warmup_steps + chunks * self.chunk_steps

    def chunks_at(self, env_steps: int) -> int:
        """The inverse."""
        return (env_steps - self.warmup_steps) // self.chunk_steps


def planned(config: "Common", parts: "Parts") -> "tuple[Common, Plan]":
    """Rounds the intervals to whole chunks; the flags returned hold what was rounded to.

    Raises:
      ValueError: the steps do not reach one chunk, or the warm-up does not fill what a sample needs.
    """
    schedule = parts.schedule
    if config.counted == "updates":
        return intervals(config, 0, schedule.updates)
    per_iteration = schedule.unroll * config.num_envs
    warmup_steps = schedule.warmup * per_iteration
    if config.steps < warmup_steps + per_iteration:
        raise ValueError(
            f"--steps {config.steps}: does not reach one chunk, which is {per_iteration} steps "
            f"(unroll {schedule.unroll} x --num-envs {config.num_envs}) after a warm-up of {warmup_steps}"
        )
    rows = (schedule.warmup + 1) * schedule.unroll
    if rows < parts.replay.minimum:
        least = math.ceil(parts.replay.minimum / schedule.unroll) - 1
        raise ValueError(
            f"--agent.warmup {warmup_steps}: sampling needs {parts.replay.minimum} rows of every environment; "
            f"with --num-envs {config.num_envs} that is a warm-up of at least {least * per_iteration} steps"
        )
    return intervals(config, warmup_steps, per_iteration)


def intervals(config: "Common", warmup_steps: int, per_iteration: int) -> "tuple[Common, Plan]":
    """The plan of a run whose iterations take so many steps after a warm-up, and the flags as it rounds them.

    Raises:
      ValueError: the length of the run is less than an iteration.
    """
    iterations = (config.steps - warmup_steps) // per_iteration
    if iterations < 1:
        raise ValueError(f"--{config.counted} {config.steps}: does not reach one iteration, which is {per_iteration}")
    log_every = config.log_every or min(config.steps // 100, 50_000)
    per_chunk = min(iterations, max(1, round(log_every / per_iteration)))
    chunk_steps = per_chunk * per_iteration
    eval_every = max(1, round((config.eval_every or config.steps / 20) / chunk_steps))
    save_every = max(1, round(config.checkpoint_every / chunk_steps)) if config.checkpoint_every else eval_every
    turn_every = max(1, round(config.pbt_every / chunk_steps)) if config.pbt_every else eval_every
    turn_every = turn_every if config.population else 0
    chunks = math.ceil(iterations / per_chunk)
    plan = Plan(warmup_steps, chunk_steps, per_chunk, chunks, eval_every, save_every, turn_every)
    turns: dict[str, Any] = {"pbt_every": turn_every * chunk_steps}
    rounded = dataclasses.replace(config, log_every=chunk_steps, eval_every=eval_every * chunk_steps, **turns)
    return rounded, plan
