"""Plots of claims, drawn from their records: PNG for pages, PDF and SVG for papers."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np

from experiments.reports import files, plots
from experiments.reports.evidence.claims import RESULTS, Claim
from experiments.reports.evidence.records import Record

PLOTS = RESULTS / "plots"
MOST = 5
"""Curves in one plot."""
FORMS = (".png", ".pdf", ".svg")


def path_of(claim: Claim, form: str) -> Path:
    """A plot's file; `form` is one of FORMS."""
    return PLOTS / f"{claim.name}{form}"


def curves(claim: Claim, found: dict[str, Record]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What the plot shows: label -> `(env_steps [points], values [seeds, points])`, arms with three points or more."""
    chosen = claim.draw or tuple(claim.arms)
    drawn: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for arm in chosen:
        record = found.get(arm)
        if record and len(record.steps) >= 3 and len(drawn) < MOST:
            label = claim.arms[arm].title or claim.system_name
            drawn[label] = (np.array(record.steps), np.array(record.values, np.float64))
    return drawn


def drawable(claim: Claim, found: dict[str, Record]) -> bool:
    """Whether there is a curve to draw."""
    return bool(curves(claim, found))


def digest(claim: Claim, found: dict[str, Record]) -> str:
    """Of all that the plot shows; it stands in the PNG, so that a plot of other data is noticed."""
    shown = {label: [x.tolist(), np.round(y, 6).tolist()] for label, (x, y) in curves(claim, found).items()}
    return hashlib.sha256(json.dumps([claim.title, claim.unit, shown]).encode()).hexdigest()[:16]


def stored_digest(claim: Claim) -> str:
    """That of the data which the PNG was drawn from; empty without one."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path_of(claim, ".png")) as image:
            return str(image.info.get("Description", ""))
    except (OSError, UnidentifiedImageError):
        return ""


def draw(claim: Claim, found: dict[str, Record]) -> None:
    """Writes the plot in all forms, unless it is there, drawn from these data.

    Raises:
      files.UnwritableError: it cannot be written.
    """
    mark = digest(claim, found)
    if stored_digest(claim) == mark and all(path_of(claim, form).is_file() for form in FORMS):
        return
    files.make_folder(PLOTS)
    for form in FORMS:
        image = io.BytesIO()
        counted = "updates" if "--updates" in claim.flags.split() else "steps"
        axis = plots.AXES[counted]
        plots.render(curves(claim, found), image, claim.title, claim.unit, form=form[1:], description=mark, xlabel=axis)
        files.write(path_of(claim, form), image.getvalue())
