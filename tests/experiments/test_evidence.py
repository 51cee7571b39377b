"""Claims, records and pages: what is read, what verdicts come of it, and that no edit of one goes unnoticed."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from experiments import evidence as command
from experiments.list import systems
from experiments.reports.evidence import checks, claims, figures, pages, records, verdicts
from experiments.reports.evidence.claims import Claim, Gate, Variant
from experiments.reports.evidence.records import Record

AGENT = '"""An agent."""\n\nRATE = 0.1  # per update\n\n\ndef update(x):\n    """Updates."""\n    return x + RATE\n'
TOML = """
system = "walker"
label = "walker"
title = "Walking"
says = "The walker reaches 10."
experiment = "dyna_q"
flags = "--steps 400 --eval-every 100 --eval-episodes 2"
seeds = [1000, 1001]
tuned_on = [0]
figure = "last"
code = ["agents/walker.py"]
draw = ["whole"]

[gate]
at_least = 10.0
over = "every"

[variants.lame]
title = "on one leg"
flags = "--agent.planning 0"
gate = { at_most = -5.0, minus = "whole" }
"""


def record(values: list, **fields) -> Record:
    given = {"commit": "abc", "date": "2026-01-02", "machine": "1 x cpu", "steps": (100, 200, 300), **fields}
    return Record(seeds=(1000, 1001), values=tuple(map(tuple, values)), **given)


def settle(monkeypatch: pytest.MonkeyPatch, root: Path) -> Path:
    """Lets the evidence of another repository be read and written."""
    results = root / "docs" / "results"
    for module in (claims, figures, pages, checks):
        monkeypatch.setattr(module, "RESULTS", results)
    monkeypatch.setattr(records, "DATA", results / "data")
    monkeypatch.setattr(figures, "PLOTS", results / "plots")
    for module in (claims, records):
        monkeypatch.setattr(module, "ROOT", root)
    return results


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with one claim, its records, page and plot, which all agree."""
    root = tmp_path_factory.mktemp("built")
    with pytest.MonkeyPatch.context() as patched:
        results = settle(patched, root)
        for folder in ("agents", "docs/results/claims", "docs/results/data"):
            (root / folder).mkdir(parents=True)
        (root / "agents" / "walker.py").write_text(AGENT)
        (results / "claims" / "walking.toml").write_text(TOML)
        for name in ("walker", "README"):
            (results / f"{name}.md").write_text(f"# Walker\n\n{pages.MARKS[0]}\n{pages.MARKS[1]}\n\nThe end.\n")
        claim = claims.load("walking")
        code = records.fingerprint(claim)
        arms = {
            arm: record(rows, code=code, command=checks.command_text(claim, arm))
            for arm, rows in (("whole", [[1, 5, 12], [2, 6, 11]]), ("lame", [[1, 2, 3], [1, 2, 4]]))
        }
        records.save("walking", arms)
        command.do_page()
        assert problems() == []
    return root


@pytest.fixture
def house(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder docs/results of a copy of it."""
    shutil.copytree(built, tmp_path, dirs_exist_ok=True)
    return settle(monkeypatch, tmp_path)


def problems() -> list[str]:
    return checks.problems(["walker"], command.accepting(systems()))


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("claims/walking.toml", "at_least = 10.0", "at_least = 9.0", "walker.md: differs from its claims"),
        ("claims/walking.toml", "--steps 400", "--steps 500", "whole: was made by"),
        ("claims/walking.toml", "--agent.planning 0", "--agent.plannning 0", "flags that the command does not know"),
        ("claims/walking.toml", "--agent.planning 0", "--agent.planning -1", "--agent.planning -1"),
        ("claims/walking.toml", 'over = "every"', 'over = "seeds"\nseeds = 3', "gate.seeds: is 3"),
        ("claims/walking.toml", "tuned_on = [0]", "tuned_on = [1001]", "[1001] are in tuned_on"),
        ("claims/walking.toml", 'title = "Walking"', 'titel = "Walking"', "titel: there is no such key"),
        ("claims/walking.toml", "[gate]", "older = true\n[gate]", "no figure is older than the code"),
        ("claims/walking.toml", "[gate]", 'older = "yes"\n[gate]', "older: is 'yes'; must be bool"),
        ("claims/walking.toml", "seeds = [1000, 1001]", "seeds = true", "seeds: is True; must be list"),
        ("claims/walking.toml", "[variants.lame]", "[variants.blind]", "lame: the claim has no such variant"),
        ("claims/walking.toml", "agents/walker.py", "agents/runner.py", "agents/runner.py is not there"),
        ("walker.md", "| **walker** |  | 300 | 12, 11 |", "| **walker** |  | 300 | 13, 11 |", "walker.md: differs"),
        ("walker.md", "<!-- /evidence -->", "", "must hold <!-- evidence --> and behind it"),
        ("README.md", "| met |", "| missed |", "README.md: differs from the claims"),
        ("data/walking.json", "[1, 5, 12]", "[1, 5, 13]", "walker.md: differs"),
        ("data/walking.json", "[1, 5, 12]", "[1, 7, 12]", "plots/walking.png: is of other data"),
        ("data/walking.json", '"date": "2026-01-02"', '"date": ""', "does not say when"),
        ("data/walking.json", '"commit"', '"comit"', "there is no field comit"),
        ("../../agents/walker.py", "RATE = 0.1", "RATE = 0.2", "agents/walker.py changed after it was recorded"),
    ],
)
def test_an_edit_by_hand_is_noticed(house: Path, file: str, old: str, new: str, told: str) -> None:
    edit(house / file, old, new)
    assert any(told in line for line in problems()), problems()


@pytest.mark.parametrize(
    ("old", "new"), [("# per update", "# of one update"), ("Updates.", "Updates once."), ("x + RATE", "x +  RATE")]
)
def test_comments_docstrings_and_spaces_make_nothing_older(house: Path, old: str, new: str) -> None:
    edit(house.parents[1] / "agents" / "walker.py", old, new)
    assert problems() == []


LESSON = """
from typing import Any
from jax import lax

class Flags:
    rate: float = 0.1

def step(x: Any, n):
    total = 0
    for i in range(n):
        total = total + x
        total = lax.mul(total, x)
    return total
"""


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        ("from typing import Any", "from typing import Any, cast", True),
        ("from typing import Any", "from jax import Array, numpy", True),
        ("from typing import Any\n", "", True),
        ("from typing import Any", "import typing\nfrom jax import Array", True),
        ("x: Any, n", "x: lax.Precision, n: int", True),
        ("Any, n):", "Any, n) -> float:", True),
        ("total = 0", "total: int = 0", True),
        ("    total = 0", "    total: int\n    total = 0", True),
        ("rate: float", "rate: int", True),
        ("(total, x)", "(\n            total,\n            x,\n        )", True),
        ("rate: float = 0.1", "rate = 0.1", False),
        ("rate: float = 0.1", "rate: float = 0.2", False),
        ("        total = lax", "    total = lax", False),
        ("from jax import lax", "from numpy import lax", False),
        ("from jax import lax", "from jax import lax, numpy\n\nnumpy.seterr()", False),
        ("range(n)", "range(n, 0)", False),
        ("x: Any, n", "n, x: Any", False),
        ("Flags", "Words", False),
        ("class Flags", "if TYPE_CHECKING:\n    RATE = 1\n\nclass Flags", True),
        ("class Flags", "if TYPE_CHECKING:\n    pass\nelse:\n    RATE = 1\n\nclass Flags", False),
        ("class Flags", "__all__ = ['Any']\n\nclass Flags", False),
    ],
)
def test_a_fingerprint_is_of_what_runs(old: str, new: str, same: bool) -> None:
    assert LESSON.count(old) == 1
    assert (records.meaning(LESSON.replace(old, new)) == records.meaning(LESSON)) is same


def test_a_fingerprint_knows_where_an_exported_name_is_from() -> None:
    here, there = (records.meaning(f"from {module} import mean\n__all__ = ['mean']") for module in ("jax", "numpy"))
    assert here != there


def test_what_is_missing_is_noticed(house: Path) -> None:
    (house / "plots" / "walking.png").unlink()
    (house / "runner.md").write_text("# Runner\n")
    (house / "data" / "running.json").write_text('{"arms": {}}')
    told = checks.problems(["walker", "sprinter"], command.accepting(systems()))
    for part in ("walking.png", "sprinter.py: no claim", "runner.md: no claim", "running.json: there is no such claim"):
        assert any(part in line for line in told), part


def test_figures_of_changed_code_are_kept_with_a_reason_or_marked(house: Path) -> None:
    edit(house.parents[1] / "agents" / "walker.py", "RATE", "SPEED")
    edit(house / "claims" / "walking.toml", "[gate]", 'note = "These figures are older than the code."\n[gate]')
    command.do_page()
    assert any("agents/walker.py changed after it was recorded" in line for line in problems())
    edit(house / "claims" / "walking.toml", "[gate]", "older = true\n[gate]")
    assert problems() == [] and "met, older than its code" in (house / "README.md").read_text()
    command.main(["keep", "walking", "--why", "Only a name changed."])
    (told,) = problems()
    assert told.startswith("walking.toml: older: is true, but no figure is older than the code")
    edit(house / "claims" / "walking.toml", "older = true\n", "")
    assert problems() == [] and "older than its code" not in (house / "README.md").read_text()
    assert "the figures hold: Only a name changed." in (house / "walker.md").read_text()
    edit(house.parents[1] / "agents" / "walker.py", "SPEED", "PACE")
    command.main(["keep", "walking", "--why", "And another."])
    assert problems() == [] and "Only a name changed. And another." in (house / "walker.md").read_text()


def test_figures_from_before_evidence_was_kept_carry_a_mark(house: Path) -> None:
    found = {"whole": Record(seeds=(), before=True, figure=12.5, low=11.0, high=13.0, count=4)}
    records.save("walking", found)
    command.do_page()
    page = (house / "walker.md").read_text()
    assert "12.5 (IQM) | 11 to 13 | every seed ≥ 10 | met, before evidence was kept" in page
    assert "| on one leg |" in page and "not run" in page
    assert verdicts.overall(verdicts.results(claims.load("walking"), records.load(claims.load("walking")))) == (
        "whole met; a variant not run, before evidence was kept"
    )
    assert "Figures marked as from before evidence was kept were written down by hand" in page
    assert "Settings were chosen on seed 0; a new run would be judged on seeds 1000, 1001." in page


def test_records_are_read_as_they_were_written(house: Path) -> None:
    before = {"whole": record([[1.23456789, np.nan, 3], [4, 5, 1e6]], seconds=2.5, versions={"jax": "1"})}
    records.save("walking", before)
    after = records.load(claims.load("walking"))["whole"]
    np.testing.assert_array_equal(after.values, [[1.23457, np.nan, 3], [4, 5, 1e6]])
    assert after.seconds == 2.5 and after.versions == {"jax": "1"}


def claim_of(figure: str = "last", gate: Gate | None = None, **fields) -> Claim:
    return Claim("x", "x", "x", "x", (1000, 1001), experiment="dqn", figure=figure, gate=gate, **fields)


@pytest.mark.parametrize(
    ("claim", "scores"),
    [
        (claim_of("last"), [3, 9]),
        (claim_of("best"), [7, 9]),
        (claim_of("best", step=100), [5, 2]),
        (claim_of("at", step=250), [7, 4]),
        (claim_of("mean_of_last", points=2), [5, 6.5]),
        (claim_of("steps_to", level=7), [200, 300]),
        (claim_of("steps_to", level=8), [np.inf, 300]),
    ],
)
def test_one_number_is_made_of_a_curve(claim: Claim, scores: list) -> None:
    np.testing.assert_allclose(verdicts.scores(claim, record([[5, 7, 3], [2, 4, 9]])), scores)


@pytest.mark.parametrize(
    ("gate", "met"),
    [
        (Gate(at_least=3, over="every"), True),
        (Gate(at_least=4, over="every"), False),
        (Gate(at_least=9, over="seeds", seeds=1), True),
        (Gate(at_least=9, over="seeds", seeds=2), False),
        (Gate(at_least=9, over="seeds", seeds=3), False),
        (Gate(at_most=3, over="seeds", seeds=1), True),
        (Gate(at_most=8, over="every"), False),
        (Gate(at_most=6, over="mean"), True),
        (Gate(at_least=6.1, over="median"), False),
        (Gate(at_least=2, times="half"), True),
        (Gate(at_least=2.1, times="half"), False),
        (Gate(at_most=3, minus="half"), True),
        (Gate(at_most=2.9, minus="half"), False),
    ],
)
def test_a_gate_is_met_or_missed(gate: Gate, met: bool) -> None:
    claim = claim_of(gate=gate, variants={"half": Variant("half")})
    found = {"whole": record([[5, 7, 3], [2, 4, 9]]), "half": record([[0, 0, 2], [0, 0, 4]])}
    assert verdicts.results(claim, found)["whole"].verdict == ("met" if met else "missed")


def test_a_whole_that_a_mean_is_compared_with_is_shown_as_a_mean() -> None:
    gate = Gate(at_most=-1, minus="whole", over="mean")
    found = {"whole": record([[5], [10]]), "half": record([[2], [4]])}
    claim = replace(claim_of(variants={"half": Variant("half", gate=gate)}), seeds=(1000, 1001))
    aggregate = verdicts.aggregate(claim, claim.gate)
    assert aggregate == gate and pages.head(aggregate) == "mean"
    assert verdicts.results(claim, found)["whole"].figure == 7.5
    bounded = replace(gate, minus="", at_most=4)
    assert verdicts.aggregate(replace(claim, variants={"half": Variant("half", gate=bounded)}), None) is None


def test_a_seed_that_died_meets_no_gate() -> None:
    claim = claim_of(gate=Gate(at_least=1, over="every"))
    assert verdicts.results(claim, {"whole": record([[5, 7, 3], [2, 4, np.nan]])})["whole"].verdict == "missed"


def test_flags_of_a_variant_win() -> None:
    merged = claims.merged(
        ["--env", "a/b", "--agent.hidden", "64", "64", "--agent.anneal"],
        ["--agent.hidden", "8", "--agent.no-anneal", "--agent.n-step", "1"],
    )
    assert merged == ["--env", "a/b", "--agent.hidden", "8", "--agent.no-anneal", "--agent.n-step", "1"]


def test_datasets_of_a_claim_are_made_once_and_told_on_its_page(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "deep" / "a.npz"
    claim = replace(claims.load("walking"), collect=(f"--policy expert --out {out}",))
    typed: list = []

    def run(words: list, check: bool) -> SimpleNamespace:
        typed.append(words[1:])
        out.write_text("made")
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(command.subprocess, "run", run)
    command.gather(claim)
    command.gather(claim)
    assert typed == [["-m", "experiments.collect", "--policy", "expert", "--out", str(out)]]
    assert f"python -m experiments.collect --policy expert --out {out}" in pages.section(claim)
    with pytest.raises(ValueError, match="must have --out and a file"):
        command.gather(replace(claim, collect=("--policy expert",)))


def test_runs_are_recorded_and_reproduced_to_the_digit(
    house: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    root = Path(command.__file__).parent.parent
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)
    speed = TOML.replace('title = "Walking"', 'title = "Speed"').replace('"last"', '"steps_to"')
    (house / "claims" / "speed.toml").write_text(speed)
    sure = speed.replace('"Speed"', '"Sure"').replace('figure = "steps_to"', 'figure = "last"\nmetric = "q_mean"')
    (house / "claims" / "sure.toml").write_text(sure)
    command.main(["run", "walking", "--arms", "whole"])
    whole = records.load(claims.load("walking"))["whole"]
    assert records.load(claims.load("speed")) == {"whole": whole}
    other = records.load(claims.load("sure"))["whole"]  # another metric of the same run
    assert other.command == whole.command and other.values != whole.values and np.isfinite(other.values).all()
    for name in ("speed", "sure"):
        (house / "claims" / f"{name}.toml").unlink()
        records.path_of(name).unlink()
    command.main(["page"])
    (folder,) = (tmp_path / "runs" / "evidence").glob("walking-whole-*")
    command.main(["record", "walking", "--runs", f"whole={folder}"])
    with pytest.raises(SystemExit):
        command.main(["record", "walking", "--runs", f"lame={folder}"])
    assert "has agent.planning 50; walking, lame says 0" in capfd.readouterr().err
    found = records.load(claims.load("walking"))["whole"]
    assert found.steps == (100, 200, 300, 400) and np.isfinite(found.values).all()
    assert found.versions["jax"] and found.machine and found.code and problems() == []
    edit(house / "claims" / "walking.toml", TOML[TOML.index("[variants") :], "")
    command.main(["page", "walker"])
    command.main(["reproduce", "walker"])
    assert "the same to the digit" in capfd.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["reproduce", "nobody"])
    assert "nobody: no claim is about it; there are walker" in capfd.readouterr().err
    with pytest.raises(SystemExit):
        command.main(["reproduce"])
    assert "reproduce: name systems or claims; there are walker" in capfd.readouterr().err


SOURCE = re.compile(r"\]\(\.\./\.\./(agents|envs|experiments|networks|replay)/")
PAPER = re.compile(
    r"\b(papers?|published|publishes|benchmark|authors|OGBench|zoo|CleanRL|Sutton and Barto|pycma|released code|"
    r"reference implementation)\b"
)


@pytest.mark.parametrize("system", [path.stem for path in sorted(claims.RESULTS.glob("*.md"))])
def test_a_page_begins_with_what_it_is_what_it_does_what_the_paper_has_and_a_command(system: str) -> None:
    if system in checks.NO_CLAIMS:
        return
    screen, _, rest = (claims.RESULTS / f"{system}.md").read_text().partition("\n## Evidence\n")
    assert rest, "there is no part that is headed Evidence"
    words, fence, commands = screen.partition("\n```bash\n")
    assert fence and re.search(r"^(python -m experiments\.|make )", commands, re.M), "there is no command"
    assert words.startswith("# ") and SOURCE.search(words), "does not say where the code is"
    assert PAPER.search(words), "does not say how it stands beside its paper or another library"
    done = re.search(r"\d|not (been )?(run|measured)|\b(one|two|three|four|five|all|every|both|hardly|joins)\b", words)
    assert done, "does not say what it does here"
    sentences = re.split(r"(?<=[.!?])\s", words.partition("\n\n")[2].strip())
    assert len(sentences) >= 3 and words.rstrip().endswith((".", ")", ":")), "is not in whole sentences"


def test_every_row_over_all_systems_has_a_date_or_a_mark_or_was_not_run() -> None:
    lines = (claims.RESULTS / "README.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| [")]
    assert {len(row) for row in rows} == {8}
    for system, title, _, figure, interval, _, verdict, date in rows:
        if verdict == verdicts.NOT_RUN:
            assert (figure, interval, date) == ("-", "", ""), (system, title)
        else:
            assert date or verdicts.BEFORE in verdict, (system, title)
        assert verdict.partition(",")[0] in ("met", "missed", verdicts.IN_PART, "not run", "no gate"), (system, title)


def test_a_plot_has_five_curves_at_most_and_comes_in_three_forms(house: Path) -> None:
    rows = [[1, 2, 3], [2, 3, 4]]
    variants = {f"arm{i}": Variant(f"arm {i}") for i in range(6)}
    claim = replace(claims.load("walking"), name="many", variants=variants, draw=())
    found = {arm: record(rows) for arm in claim.arms}
    assert list(figures.curves(claim, found)) == ["walker", "arm 0", "arm 1", "arm 2", "arm 3"]
    figures.draw(claim, found)
    assert {path.suffix for path in (house / "plots").glob("many.*")} == {".png", ".pdf", ".svg"}


@pytest.mark.parametrize("form", figures.FORMS)
def test_a_plot_that_lacks_a_form_is_noticed(house: Path, form: str) -> None:
    figures.path_of(claims.load("walking"), form).unlink()
    assert any("plots/walking.png: is" in line for line in problems())


def test_a_ratio_of_figures_below_zero_is_called_one(house: Path) -> None:
    claim = claims.load("walking")
    gate = Gate(at_most=0.25, times="lame")
    claim = replace(claim, gate=gate)
    below = {"whole": record([[-1], [-1]]), "lame": record([[-8], [-8]])}
    above = {arm: record([[1], [1]]) for arm in below}
    assert verdicts.results(claim, below)["whole"].verdict == "met"
    assert pages.judged_by(claim, "whole", below) == "ratio to *on one leg*: ≤ 0.25"
    assert pages.judged_by(claim, "whole", above) == "≤ 0.25 × that of *on one leg*"


def test_the_repository_has_a_claim_for_every_system_and_all_agree() -> None:
    assert checks.problems(systems(), command.accepting(systems())) == []
    rows = [line for line in (claims.RESULTS / "README.md").read_text().splitlines() if line.startswith("| [")]
    assert len(rows) == len(claims.names()) >= 40


def test_a_study_that_never_gets_there_is_infinite_once_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "DATA", tmp_path)
    far = Variant("far", gate=Gate(at_least=50.0, over="every"))
    claim = Claim(
        name="reach", system="walker", title="Reaching", says="It does.", seeds=(1000, 1001), figure="value",
        study="walk:rounds", variants={"far": far}, gate=Gate(at_most=20.0, over="every"),
    )  # fmt: skip
    records.save("reach", {"whole": record([(7.0,), (9.0,)], steps=()), "far": record([(60.0,), (np.inf,)], steps=())})
    found = verdicts.results(claim, records.load(claim))
    assert [found[arm].verdict for arm in ("whole", "far")] == [verdicts.MET, verdicts.MET]
    np.testing.assert_array_equal(found["far"].scores, [60.0, np.inf])
    assert pages.number(found["far"].scores[1]) == "not reached"
