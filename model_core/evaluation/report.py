"""Write the results of an evaluation: results.json, report.md, plots and contact sheets."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_core.evaluation.edits import draw_colorizations, draw_merges, draw_morphs
from model_core.evaluation.equivalent_steps import EquivalentSteps, equivalent_steps
from model_core.evaluation.networks import EvaluationNetworks
from model_core.evaluation.paper import REMARK, RUNTIME, TABLES
from model_core.evaluation.plots import plot_runtimes, plot_starts
from model_core.evaluation.runner import Records
from model_core.evaluation.sheets import SHEETS, draw_methods, draw_starts
from model_core.evaluation.tables import (
    all_figures,
    as_json,
    curve_table,
    equivalent_steps_table,
    paper_table,
    runtime_table,
)
from model_core.metrics.identity import SAME_PERSON_SIMILARITY
from model_core.shapes import ByteImages

DEFINITIONS = {
    "images": "256 px RGB in [-1, 1]: the full generator's output, downscaled by area and clamped, "
    "compared with the aligned face. Every method is measured at its code of lowest loss so far.",
    "mse": "mean over pixels and channels, on [-1, 1]; from 0 to 4",
    "psnr_db": "10 log10(4 / mse) of each face: the peak is 2, from black to white",
    "ssim": "Wang et al. 2004, Gaussian window of 11 px, on brightness + 1, mean over channels",
    "st-lpips-alex, st-lpips-vgg": "Shift-tolerant LPIPS (Ghildyal and Liu 2022); not the paper's "
    "LPIPS. The iterator minimises st-lpips-alex, which favours it in that column",
    "lpips-alex, lpips-vgg": "LPIPS v0.1 of the package lpips, if its trunks were supplied",
    "identity_similarity": "cosine of FaceRes descriptors, which no training uses; strangers "
    "score about .37. A column NAME_similarity is a converted recogniser's cosine",
    "same_person": f"1 if identity_similarity is at least {SAME_PERSON_SIMILARITY}, else 0; one "
    "pair of strangers in a hundred reaches it; the mean is a fraction of the faces",
    "averages": "means over faces; where an interval is given, the median and its 95 % bootstrap "
    "interval (2000 draws over faces, fixed seed)",
    "seconds": "without measuring, loading, compiling and alignment; one face at a time",
    "random start": "N(0, 1) in every element, seeded by the face's index",
    "vgg-features": "uncalibrated perceptual loss on VGG-16; st-vgg-features uses ST-LPIPS's "
    "trunk instead of torchvision's",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """The results of an evaluation.

    Attributes:
        faces: The embedded faces.
        records: Records of each method, in the order of the faces.
        measures: Names of the metrics in the records.
        settings: Settings of the run.
        nets: The networks, for the sheets of edits.
    """

    faces: ByteImages
    records: Records
    measures: list[str]
    settings: dict[str, Any]
    nets: EvaluationNetworks


def write_report(found: Findings, out: Path) -> str:
    """Write all files and return the text of the report."""
    out.mkdir(parents=True, exist_ok=True)
    found_steps = _equivalent_steps(found)
    results = {
        "settings": found.settings,
        "definitions": DEFINITIONS,
        "systems": as_json(found.records, found.measures),
        "one_pass_is_worth": [asdict(row) for row in found_steps],
    }
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    text = "\n\n".join(_sections(found, found_steps, _pictures(found, out))) + "\n"
    (out / "report.md").write_text(text)
    return text


def _equivalent_steps(found: Findings) -> list[EquivalentSteps]:
    passes, iterator = found.records.get("network"), found.records.get("iterator")
    return equivalent_steps(found.measures, passes, iterator) if passes and iterator else []


def _pictures(found: Findings, out: Path) -> dict[str, str]:
    """Draw every plot and sheet that the records allow; return titles by file name."""
    faces, records = found.faces, found.records
    drawn = {}
    if plot_starts(records, found.measures, out / "starts.png"):
        drawn["starts.png"] = "The iterator by its start"
    if plot_runtimes(records, out / "figure5.png"):
        drawn["figure5.png"] = "Figure 5: runtimes"
    for file, (title, columns) in SHEETS.items():
        if draw_methods(faces, records, columns, out / file):
            drawn[file] = title
    if draw_starts(faces, records, out / "figure7.jpg"):
        drawn["figure7.jpg"] = "Figure 7: starts (rows) after some steps (columns)"
    return drawn | _edits(found, out)


def _edits(found: Findings, out: Path) -> dict[str, str]:
    """Draw figures 8 to 10 with the network; needs at least two faces."""
    if "network" not in found.records or len(found.faces) < 2:
        return {}
    network, render = found.nets.network("network"), found.nets.render
    faces = found.faces.to(found.nets.device)
    draw_morphs(faces, network, render, out / "figure8.jpg")
    draw_colorizations(faces, network, render, out / "figure10.jpg")
    titles = {"figure8.jpg": "Figure 8: morphs", "figure10.jpg": "Figure 10: colorization"}
    if network.config.disentangled:
        draw_merges(faces, network, render, out / "figure9.jpg")
        titles["figure9.jpg"] = "Figure 9: identity of the column, attributes of the row"
    return titles


def _sections(
    found: Findings, found_steps: list[EquivalentSteps], pictures: dict[str, str]
) -> list[str]:
    records, measures = found.records, found.measures
    settings = "\n".join(f"* {key}: {value}" for key, value in found.settings.items())
    sections = ["# Evaluation", "## Settings", settings]
    if found_steps:
        sections += [
            "## Iterator steps equivalent to one forward pass",
            equivalent_steps_table(found_steps),
            EQUIVALENT_TEXT,
        ]
    lpips = "lpips-alex" if "lpips-alex" in measures else "st-lpips-alex"
    tables = [paper_table(number, records, measures, lpips) for number in TABLES]
    if any(tables):
        sections += ["## The paper's tables", *(t for t in tables if t), REMARK]
    sections += ["## All figures", "Means over faces.", all_figures(records, measures)]
    sections += ["## Runtime", "Medians over faces and their 95 % bootstrap intervals."]
    sections += [runtime_table(records), RUNTIME]
    for name, rows in records.items():
        if rows and rows[0].steps[-1]:
            sections += [f"## Steps of {name}", "Means over faces.", curve_table(rows, measures)]
    if pictures:
        shown = "\n\n".join(f"{title}\n\n![{title}]({file})" for file, title in pictures.items())
        sections += ["## Pictures", shown]
    terms = "\n".join(f"* **{name}**: {text}" for name, text in DEFINITIONS.items())
    return [*sections, "## Definitions", terms]


EQUIVALENT_TEXT = (
    "The reference is the iterator from the mean code: Adam, rate .05, betas (.9, .999), no "
    "schedule, full generator at its full size, MSE + st-lpips-alex, on the same backend as the "
    "network. *Steps* is the number of steps after which the mean over faces is as good as that "
    "of one pass; *time ratio* is the time of those steps over the time of the pass, medians of "
    "one run."
)
