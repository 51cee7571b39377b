"""Flags with which every command makes a small run on a task in graph; those that need none are not there."""

CATCH = ["--env", "bellmax/catch"]
CARTPOLE = ["--env", "bellmax/cartpole"]
SMALL = ["--agent.warmup", "200", "--agent.batch-size", "16", "--agent.buffer-size", "2000"]
WORDS = {
    **{name: [*CATCH, *SMALL] for name in ("dqn", "c51", "qr_dqn", "iqn", "rainbow")},
    "drqn": SMALL,
    "r2d2": SMALL,
    "mqn": [*SMALL, "--agent.length", "10", "--env", "bellmax/memory-chain"],
    "pqn": [*CATCH, "--agent.minibatches", "4"],
    "reactor": [*CATCH, "--agent.length", "8", "--agent.warmup", "200", "--agent.buffer-size", "2000"],
    **dict.fromkeys(("a2c", "ppo", "vpg", "trpo", "impala", "acktr"), CATCH),
    "acer": [*CATCH, "--agent.buffer-size", "2000"],
    "q_prop": ["--agent.buffer-size", "2000"],
    **dict.fromkeys(("ddpg", "td3", "sac", "naf"), SMALL),
    "cem": ["--agent.population", "8", "--agent.best", "4"],
    "her": ["--env", "bellmax/bit-flip", "--env-options", "bits=4"],
    "hiro": ["--env", "bellmax/point-maze", "--agent.goal-range", "2", "2", *SMALL],
    "merlin": ["--agent.rows", "10", "--agent.unroll", "10"],
    "rl_mem": ["--agent.unroll", "10"],
    "dyna": SMALL,
    "i2a": ["--stages", "--agent.world", "copy"],
}
