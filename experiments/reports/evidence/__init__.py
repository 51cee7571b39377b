"""Evidence as data: claims in docs/results/claims, what runs gave in docs/results/data, pages and plots made of both.

`claims` reads what is claimed, `records` what was measured, `verdicts` holds one against the other, `pages` and
`figures` write them for readers, `checks` finds where they disagree. `python -m experiments.evidence` is the command.
"""

from experiments.reports.evidence import checks, claims, figures, pages, records, verdicts
from experiments.reports.evidence.claims import Claim
from experiments.reports.evidence.records import Record
from experiments.reports.evidence.verdicts import Result

__all__ = ["Claim", "Record", "Result", "checks", "claims", "figures", "pages", "records", "verdicts"]
