"""Write what an evaluation found: results.json, report.md, plots and contact sheets."""

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
    "images": "256 px RGB in [-1, 1]: the generator's true output by area, clamped, against the "
    "aligned face. Every method is judged on the code with the lowest loss so far.",
    "mse": "mean over pixels and channels, on [-1, 1]; from 0 to 4",
    "psnr_db": "10 log10(4 / mse) of each face: the peak is 2, from black to white",
    "ssim": "Wang et al. 2004, Gaussian window of 11 px, on brightness + 1, mean over channels",
    "st-lpips-alex, st-lpips-vgg": "Shift-tolerant LPIPS (Ghildyal and Liu 2022); not the paper's "
    "LPIPS. The iterator here minimises st-lpips-alex, which flatters it in that column",
    "lpips-alex, lpips-vgg": "LPIPS v0.1 of the package lpips, where its trunks were supplied",
    "identity_similarity": "cosine of FaceRes's descriptors, on which nothing here is trained; "
    "strangers are at about .37. A column NAME_similarity is a converted recogniser's cosine",
    "same_person": f"1 where identity_similarity is at least {SAME_PERSON_SIMILARITY}, else 0: one "
    "pair of strangers in a hundred is; its mean is a share of the faces",
    "averages": "means over faces of each face's figure; where an interval stands, the median and "
    "its 95 % bootstrap interval (2000 draws over faces, fixed seed)",
    "seconds": "measuring is not counted, nor loading, compiling or alignment; one face at a time",
    "random start": "N(0, 1) in every element, seeded by the face's index",
    "vgg-features": "uncalibrated perceptual loss on VGG-16; st-vgg-features where ST-LPIPS's "
    "trunk stands in for torchvision's",
}


@dataclass(frozen=True, slots=True)
class Findings:
    """All that is reported.

    Attributes:
        faces: What was embedded.
        records: Of each method, in the order of the faces.
        measures: Names of the figures in the records.
        settings: How it was run.
        nets: The networks, for the figures that edit codes.
    """

    faces: ByteImages
    records: Records
    measures: list[str]
    settings: dict[str, Any]
    nets: EvaluationNetworks


def write_report(found: Findings, out: Path) -> str:
    """Write all files and return the report's text."""
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
    """Draw what can be drawn; return titles by file name."""
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
    """Draw figures 8 to 10 by the network, which takes two faces at least."""
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
            "## What one forward pass is worth",
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
    "The yardstick is the iterator from the mean code: Adam, rate .05, betas (.9, .999), no "
    "schedule, true output at the generator's full size, MSE + st-lpips-alex, on the backend that "
    "runs the network. *Steps* is the first number of steps after which the mean over faces is as "
    "good as that of one pass; *time ratio* is the time of those steps over the time of the pass, "
    "medians of one run."
)
