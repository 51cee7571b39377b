import numpy as np
import pytest

from experiments.reports import plots, stats
from experiments.reports.sinks import Logger, MetricsCsv

NAN = float("nan")


def test_iqm_is_the_mean_of_the_middle_half():
    assert stats.iqm([1.0, 2.0, 3.0, 100.0]) == 2.5
    assert stats.iqm([5.0]) == 5.0
    assert stats.iqm([1.0, 2.0, 6.0]) == 3.0  # a quarter of three seeds is none
    assert stats.iqm([1.0, 2.0, 3.0, 100.0, NAN, np.inf]) == 2.5
    assert stats.living([1.0, NAN, np.inf]).tolist() == [1.0]
    assert np.isnan(stats.iqm([NAN]))


def test_few_seeds_have_defined_intervals():
    assert np.isnan(stats.interval([5.0, NAN])).all()
    assert np.isnan(stats.interval([])).all()
    assert stats.interval([1.0, 2.0]) == (1.0, 2.0)
    chance, ends = stats.probability_of_improvement([1.0], [NAN])
    assert np.isnan([chance, *ends]).all()
    assert stats.probability_of_improvement([1.0, 3.0], [1.0, 2.0])[0] == (0.5 + 0 + 1 + 1) / 4
    assert stats.probability_of_improvement([2.0], [1.0, 0.0, 0.5])[0] == 1.0


def test_same_as_rliable():
    from rliable import library, metrics

    rng = np.random.default_rng(0)
    x, y = rng.normal(10.0, 2.0, 10), rng.normal(11.0, 2.0, 7).round(1)
    point, ends = library.get_interval_estimates(
        {"x": x[:, None]}, lambda scores: np.array([metrics.aggregate_iqm(scores)]), reps=2000
    )
    assert stats.iqm(x) == pytest.approx(point["x"][0])
    np.testing.assert_allclose(stats.interval(x), ends["x"][:, 0], atol=0.2)
    point, ends = library.get_interval_estimates(
        {"x,y": (x[:, None], y[:, None])}, lambda a, b: np.array([metrics.probability_of_improvement(a, b)]), reps=400
    )
    chance, interval = stats.probability_of_improvement(x, y)
    assert chance == pytest.approx(point["x,y"][0])
    np.testing.assert_allclose(interval, ends["x,y"][:, 0], atol=0.08)


def test_intervals_cover_as_often_as_they_say():
    rng = np.random.default_rng(1)
    covered = [low <= 0 <= high for low, high in (stats.interval(rng.normal(size=20), reps=300) for _ in range(200))]
    assert 0.87 < np.mean(covered) < 0.99


def test_band_is_the_interval_at_every_point():
    values = np.array([[1.0, 2.0, NAN], [3.0, 4.0, NAN], [5.0, NAN, NAN]])
    middle, low, high = stats.band(values)
    np.testing.assert_array_equal(middle, [3, 3, NAN])
    for point in range(2):
        assert (low[point], high[point]) == stats.interval(values[:, point])


def pixels(path):
    from matplotlib.image import imread

    assert path.read_bytes().startswith(b"\x89PNG")
    return imread(path)


def near(image, colour, tolerance=0.06):
    """How many pixels have about this colour."""
    from matplotlib.colors import to_rgb

    return int((np.abs(image[..., :3] - np.array(to_rgb(colour))).max(axis=-1) < tolerance).sum())


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    with Logger(4, MetricsCsv(folder / "metrics.csv", range(4))) as logger:
        for i in range(10):
            returns = np.arange(4.0) + i * 10
            logger.log("train", i * 100, float(i), {"episode_return": returns, "loss": 1.0})
            logger.log("eval", i * 100, float(i), {"eval_return": np.where([i < 5, *[True] * 3], returns, NAN)})
    return folder


def test_curve_draws_line_band_and_seeds(run_folder, tmp_path):
    plots.curve(run_folder / "metrics.csv", tmp_path / "curve.png", "a title", reference=50.0)
    image = pixels(tmp_path / "curve.png")
    assert image.shape == (645, 1050, 4)
    assert near(image, plots.COLOURS[0]) > 1000
    plots.curve((np.arange(3), np.arange(3.0)[None]), tmp_path / "arrays.png")
    assert near(pixels(tmp_path / "arrays.png"), plots.COLOURS[0]) > 1000
    with pytest.raises(ValueError, match="metric 'nothing'"):
        plots.curve(run_folder / "metrics.csv", tmp_path / "curve.png", metric="nothing")


def test_curves_has_a_colour_per_run(run_folder, tmp_path):
    plots.curves({"a": run_folder, "b": run_folder}, tmp_path / "curves.png", metric="episode_return")
    assert near(pixels(tmp_path / "curves.png"), plots.COLOURS[1]) > 1000  # drawn over the first, being the same


def test_before_there_is_much_to_draw(tmp_path):
    path = tmp_path / "metrics.csv"
    with Logger(2, MetricsCsv(path, range(2))) as logger:
        plots.curve(path, tmp_path / "nothing.png")
        logger.log("train", 100, 1.0, {"episode_return": np.full(2, NAN)})
        logger.log("train", 200, 1.0, {"episode_return": np.array([1.0, 2.0])})
    assert near(pixels(tmp_path / "nothing.png"), plots.COLOURS[0]) == 0
    steps, values, metric = plots.load(path)
    assert metric == "episode_return"  # there is no evaluation yet
    assert (steps.tolist(), values.tolist()) == ([200], [[1.0], [2.0]])
    plots.curve(path, tmp_path / "point.png")
    assert near(pixels(tmp_path / "point.png"), plots.COLOURS[0]) > 50


def test_long_curves_are_thinned(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "POINTS", 5)
    steps, values = plots._thin(np.arange(101), np.arange(101.0)[None])
    assert steps.tolist() == [0, 25, 50, 75, 100]
    assert values.shape == (1, 5)
