"""The runs of the claims, made again: each arm must come to the verdict that is recorded.

    python -m pytest -m slow tests/agents/test_claims.py -k c51

Figures from before evidence was kept have no run to be compared with, and are left out.
"""

from pathlib import Path

import pytest

from experiments import evidence as command
from experiments.reports.evidence import claims, records, verdicts

ROOT = Path(command.__file__).parent.parent


def recorded(name: str) -> dict[str, records.Record]:
    found = records.load(claims.load(name))
    return {arm: record for arm, record in found.items() if not record.before}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in claims.names() if recorded(name)])
def test_a_claim_comes_to_its_recorded_verdict(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    claim, before = claims.load(name), recorded(name)
    after = {arm: command.made(claim, arm)[0] for arm in before}
    told, found = (verdicts.results(claim, arms) for arms in (before, after))
    assert {arm: found[arm].verdict for arm in before} == {arm: told[arm].verdict for arm in before}, found
