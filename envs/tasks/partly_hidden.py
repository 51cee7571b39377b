"""Tasks that show less than there is, for agents with memory: known ones behind `envs.wrappers`."""

from envs import wrappers
from envs.base import Environment
from envs.tasks.cartpole import cartpole
from envs.tasks.catch import catch
from envs.tasks.swingup import swingup


def cartpole_no_velocity(time_limit: int | None = 500) -> Environment:
    """CartPole that shows the position of the cart and the angle of the pole, but not how fast they change."""
    return wrappers.mask_observation(cartpole(time_limit), (0, 2))


def flickering_catch(probability: float = 0.5, rows: int = 10, columns: int = 5) -> Environment:
    """Catch whose board is blank with `probability`, each step anew (Hausknecht and Stone, 2015)."""
    return wrappers.flicker(catch(rows, columns), probability)


def swingup_no_velocity(time_limit: int = 200) -> Environment:
    """The swing-up that shows the angle of the pole and the position of the cart, but not how fast they change."""
    return wrappers.mask_observation(swingup(time_limit), (0, 1, 2))
