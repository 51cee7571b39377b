"""Atari 2600 games under a protocol of the literature, by envpool; and human-normalised scores.

A score means something only beside its protocol. Two are in use, and a game is played under one of them:

`sticky`, the default (Machado et al., "Revisiting the Arcade Learning Environment", JAIR 2018; Dopamine)
  with probability 0.25 a raw frame repeats the action of the one before; a lost life is no signal; every game starts
  alike.
`classic` (Mnih et al., Nature 2015; DQN Zoo)
  actions are never repeated; a lost life has discount 0 and the game goes on, no row is LAST or FIRST for it; a game
  starts after 1 to 30 random no-ops.

In both an action lasts four raw frames, an observation is the last four of what it led to, `uint8[84, 84, 4]`, newest
last, each the maximum over the last two raw frames, grey; rewards are the game's, which agents clip by
`agents.common.wrappers.clip_rewards`; after 108,000 frames, 27,000 steps, a game is truncated. These are options of
envpool:

| option                                        | sticky | classic |
|-----------------------------------------------|--------|---------|
| `repeat_action_probability`                   | 0.25   | 0       |
| `zero_discount_on_life_loss`                  | false  | true    |
| `noop_max`                                    | 1      | 30      |
| `use_fire_reset`                              | false  | false   |
| `episodic_life`, `reward_clip`                | false  | false   |
| `max_episode_steps`                           | 27000  | 27000   |
| `frame_skip`, `stack_num`                     | 4      | 4       |
| `img_height`, `img_width`                     | 84     | 84      |
| `gray_scale`, `use_inter_area_resize`         | true   | true    |
| `full_action_space`                           | false  | false   |

Other codes differ in details: here a game begins with at least one no-op, and a stack with four copies of its first
frame rather than with black ones. Neither protocol presses FIRE for the agent: in Breakout and some others it has to
learn to begin.
"""

from typing import Any

from envs.adapters.envpool import envpool
from envs.base import HostEnvironment
from envs.host import unknown

SHARED = {
    "frame_skip": 4,
    "stack_num": 4,
    "gray_scale": True,
    "img_height": 84,
    "img_width": 84,
    "use_inter_area_resize": True,
    "max_episode_steps": 27_000,
    "full_action_space": False,
    "use_fire_reset": False,
    "episodic_life": False,
    "reward_clip": False,
}
PROTOCOLS: dict[str, dict[str, Any]] = {
    "sticky": {
        **SHARED,
        "repeat_action_probability": 0.25,
        "zero_discount_on_life_loss": False,
        "noop_max": 1,  # the simulator has no 0
    },
    "classic": {
        **SHARED,
        "repeat_action_probability": 0.0,
        "zero_discount_on_life_loss": True,
        "noop_max": 30,
    },
}

# Scores of random play and of a human tester on 57 games, by which the literature normalises; as in DQN Zoo. They are
# averages over games of at most 108,000 frames that start after 1 to 30 random no-ops.
SCORES = {
    "Alien": (227.8, 7127.7),
    "Amidar": (5.8, 1719.5),
    "Assault": (222.4, 742.0),
    "Asterix": (210.0, 8503.3),
    "Asteroids": (719.1, 47388.7),
    "Atlantis": (12850.0, 29028.1),
    "BankHeist": (14.2, 753.1),
    "BattleZone": (2360.0, 37187.5),
    "BeamRider": (363.9, 16926.5),
    "Berzerk": (123.7, 2630.4),
    "Bowling": (23.1, 160.7),
    "Boxing": (0.1, 12.1),
    "Breakout": (1.7, 30.5),
    "Centipede": (2090.9, 12017.0),
    "ChopperCommand": (811.0, 7387.8),
    "CrazyClimber": (10780.5, 35829.4),
    "Defender": (2874.5, 18688.9),
    "DemonAttack": (152.1, 1971.0),
    "DoubleDunk": (-18.6, -16.4),
    "Enduro": (0.0, 860.5),
    "FishingDerby": (-91.7, -38.7),
    "Freeway": (0.0, 29.6),
    "Frostbite": (65.2, 4334.7),
    "Gopher": (257.6, 2412.5),
    "Gravitar": (173.0, 3351.4),
    "Hero": (1027.0, 30826.4),
    "IceHockey": (-11.2, 0.9),
    "Jamesbond": (29.0, 302.8),
    "Kangaroo": (52.0, 3035.0),
    "Krull": (1598.0, 2665.5),
    "KungFuMaster": (258.5, 22736.3),
    "MontezumaRevenge": (0.0, 4753.3),
    "MsPacman": (307.3, 6951.6),
    "NameThisGame": (2292.3, 8049.0),
    "Phoenix": (761.4, 7242.6),
    "Pitfall": (-229.4, 6463.7),
    "Pong": (-20.7, 14.6),
    "PrivateEye": (24.9, 69571.3),
    "Qbert": (163.9, 13455.0),
    "Riverraid": (1338.5, 17118.0),
    "RoadRunner": (11.5, 7845.0),
    "Robotank": (2.2, 11.9),
    "Seaquest": (68.4, 42054.7),
    "Skiing": (-17098.1, -4336.9),
    "Solaris": (1236.3, 12326.7),
    "SpaceInvaders": (148.0, 1668.7),
    "StarGunner": (664.0, 10250.0),
    "Surround": (-10.0, 6.5),
    "Tennis": (-23.8, -8.3),
    "TimePilot": (3568.0, 5229.2),
    "Tutankham": (11.4, 167.6),
    "UpNDown": (533.4, 11693.2),
    "Venture": (0.0, 1187.5),
    "VideoPinball": (16256.9, 17667.9),
    "WizardOfWor": (563.5, 4756.5),
    "YarsRevenge": (3092.9, 54576.9),
    "Zaxxon": (32.5, 9173.3),
}


def atari(game: str, *, protocol: str = "sticky", **options: Any) -> HostEnvironment:
    """A game under a protocol.

    Args:
      game: as in `games()`, such as "Pong".
      protocol: "sticky" or "classic".
      **options: of `envs.adapters.envpool.envpool`; they win over the protocol's.

    Raises:
      ValueError: unknown game, protocol or option, or a bad value.
    """
    known = games()
    if game not in known:
        raise unknown("Atari game", game, known)
    if protocol not in PROTOCOLS:
        raise ValueError(f"protocol is {protocol!r}; allowed: {', '.join(PROTOCOLS)}")
    env = envpool(f"{game}-v5", **PROTOCOLS[protocol] | options)
    return env._replace(spec=env.spec._replace(name=f"atari/{game}"))


def games() -> tuple[str, ...]:
    """The games there are, all 57 of `SCORES` among them. Imports envpool."""
    import envpool as simulator  # its registry is filled by this import
    from envpool.registration import registry

    del simulator
    return tuple(sorted(id.removesuffix("-v5") for id, (path, *_) in registry.specs.items() if path == "envpool.atari"))


def game_of(env: str) -> str | None:
    """Which of the 57 games a task is: "Pong" for "atari/Pong" and "envpool/Pong-v5", None for a task that is none."""
    suite, _, id = env.partition("/")
    game = id if suite == "atari" else id.removesuffix("-v5") if suite == "envpool" else ""
    return game if game in SCORES else None


def human_normalised(game: str, score: Any) -> Any:
    """`(score - random) / (human - random)`: 0 is random play, 1 a human's.

    Args:
      game: one of `SCORES`.
      score: a return of whole games, unclipped; a number or an array.

    Raises:
      ValueError: the game is not one of the 57.
    """
    if game not in SCORES:
        raise unknown("game of the table of human scores", game, SCORES)
    random, human = SCORES[game]
    return (score - random) / (human - random)
