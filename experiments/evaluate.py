"""Plays the policies of a run: `python -m experiments.evaluate RUN [--episodes 100] [--video out.mp4]`."""

import math
import sys
from typing import Any

import tyro

from experiments import run
from experiments.run.evaluation import Flags, play

SHARES = {"eval_ended": "of episodes ended before the time limit", "eval_success": "reached the goal"}
"""What a line says of each share of a seed's episodes."""


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """Reads flags, evaluates, prints a line per seed."""
    arguments = tyro.cli(
        Flags,
        args=sys.argv[1:] if argv is None else argv,
        prog="python -m experiments.evaluate",
        config=(tyro.conf.PositionalRequiredArgs,),
    )
    try:
        result = play(arguments)
    except ValueError as error:
        run.fail(error)
    length = f"{result['at_steps']:,} {result['counted']}"
    print(f"{result['experiment']} on {result['env']}, {result['policy']} policy of {length}")
    for i, (seed, value) in enumerate(zip(result["seeds"], result["eval_returns"], strict=True)):
        shares = "".join(f"   {result[name][i]:.1%} {told}" for name, told in SHARES.items() if name in result)
        steps = "".join(f" {x:.1f}" for x in result["eval_steps"][i]) if "eval_steps" in result else ""
        print(f"{seed:>8} {value:>10.1f}{shares}" + (f"   steps{steps}" if steps else ""))
    low, high = result["eval_ci95"]
    several = math.isfinite(low)
    print(f"{'IQM':>8} {result['eval_iqm']:>10.1f}" + (f"   95 % interval {low:.1f} to {high:.1f}" if several else ""))
    from envs.adapters import atari

    game = atari.game_of(result["env"])
    if game:
        normalised, low, high = (atari.human_normalised(game, x) for x in (result["eval_iqm"], low, high))
        print(
            f"{'human':>8} {normalised:>10.1%}   normalised"
            + (f"; 95 % interval {low:.1%} to {high:.1%}" if several else "")
        )
    if "film_error" in result:
        run.fail(result["film_error"], code=1)
    return result


if __name__ == "__main__":
    main()
