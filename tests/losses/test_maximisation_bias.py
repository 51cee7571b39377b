"""Q-learning overestimates, and double Q-learning less; see experiments/studies/maximisation_bias.py."""

from experiments.studies.maximisation_bias import curve


def test_double_q_learning_soon_stops_going_left() -> None:
    left = curve(0, True)
    assert left[17:22].mean() <= 0.35, left[17:22]
    assert left[-20:].mean() <= 0.1, left[-20:]


def test_single_q_learning_is_lured() -> None:
    left = curve(0, False)
    assert left[17:22].mean() >= 0.85, left[17:22]
