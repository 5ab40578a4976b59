"""Format records as Markdown tables: the paper's four tables, and all metrics of all methods."""

from collections.abc import Sequence
from dataclasses import asdict

from model_core.evaluation.equivalent_steps import EquivalentSteps
from model_core.evaluation.paper import TABLES, Cell
from model_core.evaluation.records import Record
from model_core.evaluation.runner import Records
from model_core.evaluation.summary import Summary

UNEQUAL = (
    "Here the method is the network given on the command line, which was trained on a different "
    "budget. This is not an ablation until a collaborative network is given."
)
SHORT = {"network": "network (one pass)", "mean": "mean code"}


def summarize(records: Sequence[Record], measures: Sequence[str], step: int) -> dict[str, Summary]:
    """Summarise every metric after some steps; -1 means the last."""
    rows = [record.after(step).tolist() for record in records]
    columns = zip(*rows, strict=True)
    return {name: Summary.of(column) for name, column in zip(measures, columns, strict=True)}


def paper_table(number: str, records: Records, measures: Sequence[str], lpips: str) -> str | None:
    """Return one of the paper's tables with our figures before the paper's; None if it has no row.

    MSE, identity similarity and time follow the paper's three metrics.

    Args:
        number: "1" to "4".
        records: Records of all methods.
        measures: Names of the metrics.
        lpips: The perceptual distance in the third column.
    """
    title, listed = TABLES[number]
    if not records.get("collaborative"):
        listed = [(n, "network" if s == "collaborative" else s, a, b) for n, s, a, b in listed]
    done = [row for row in listed if records.get(row[1])]
    if not done or (number in "234" and len(done) < len(listed)):
        return None
    count = min(len(records[method]) for _, method, _, _ in done)
    columns = {"PSNR, dB": "psnr_db", "SSIM": "ssim", lpips: lpips, "MSE": "mse"}
    columns |= {name: name for name in measures if name.endswith("_similarity")}
    lines = [
        f"**Table {number}: {title}** (median over {count} faces, 95 % bootstrap interval; the "
        "paper's PSNR / SSIM / LPIPS)",
        "",
        f"| | method | {' | '.join(columns)} | seconds | paper, CelebA-HQ | paper, CACD |",
        "|---" * (len(columns) + 5) + "|",
    ]
    for name, method, celeba, cacd in done:
        rows = records[method][:count]
        figures = summarize(rows, measures, -1)
        cells = [_interval(figures[key]) for key in columns.values()]
        cells += [_interval(_seconds(rows, "total_s")), _paper(celeba), _paper(cacd)]
        lines.append(f"| {name} | {method} | {' | '.join(cells)} |")
    if number in "34" and done[-1][1] == "network":
        lines += ["", UNEQUAL]
    return "\n".join(lines)


def all_figures(records: Records, measures: Sequence[str]) -> str:
    """Return the mean of every metric and method, over all faces and over the iterative ones'."""
    few = min((len(r) for r in records.values() if r), default=0)
    lines = [f"| method | {' | '.join(measures)} | faces |", "|---" * (len(measures) + 2) + "|"]
    for name, rows in records.items():
        for count in dict.fromkeys([len(rows), few]):
            figures = summarize(rows[:count], measures, -1)
            cells = " | ".join(f"{figures[key].mean:.4g}" for key in measures)
            first = "" if count == len(rows) else f", first {count}"
            lines.append(f"| {SHORT.get(name, name)}{first} | {cells} | {count} |")
    return "\n".join(lines)


def curve_table(records: Sequence[Record], measures: Sequence[str]) -> str:
    """Return one method's mean metrics at each step count with a kept image."""
    lines = [f"| steps | {' | '.join(measures)} |", "|---" * (len(measures) + 1) + "|"]
    for step in records[0].marks:
        figures = summarize(records, measures, step)
        cells = " | ".join(f"{figures[key].mean:.4g}" for key in measures)
        lines.append(f"| {step} | {cells} |")
    return "\n".join(lines)


def runtime_table(records: Records) -> str:
    """Return each method's seconds per face (figure 5), medians with intervals."""
    lines = ["| method | steps | start, s | per step, s | total, s |", "|---" * 5 + "|"]
    for name, rows in records.items():
        if not rows:
            continue
        start, step, total = (
            _interval(_seconds(rows, key)) for key in ("start_s", "step_s", "total_s")
        )
        steps = rows[0].steps[-1]
        cells = f"{steps} | {start} | {step if steps else ''} | {total}"
        lines.append(f"| {SHORT.get(name, name)} | {cells} |")
    return "\n".join(lines)


def equivalent_steps_table(found: Sequence[EquivalentSteps]) -> str:
    """Return the number of steps equivalent to one pass, by metric."""
    lines = [
        "| metric | one pass | steps to reach it, mean | per face, median [95 %] | time ratio |",
        "|---" * 5 + "|",
    ]
    for row in found:
        steps = f"more than {row.measured}" if row.steps is None else str(row.steps)
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        by_face = f"{row.by_face.median:g} [{row.by_face.low:g}, {row.by_face.high:g}]"
        lines.append(f"| {row.measure} | {row.one_pass:.4g} | {steps} | {by_face} | {ratio} |")
    return "\n".join(lines)


def as_json(records: Records, measures: Sequence[str]) -> dict[str, object]:
    """Return all metrics of all methods for results.json."""
    found: dict[str, object] = {}
    for name, rows in records.items():
        if rows:
            steps = rows[0].steps
            found[name] = {
                "faces": len(rows),
                "steps": steps[-1],
                "seconds": asdict(_seconds(rows, "total_s")),
                "step_seconds": asdict(_seconds(rows, "step_s")),
                "figures": _plain(summarize(rows, measures, -1)),
                "curve": {str(s): _plain(summarize(rows, measures, s)) for s in steps},
            }
    return found


def _plain(figures: dict[str, Summary]) -> dict[str, dict[str, float]]:
    return {name: asdict(figure) for name, figure in figures.items()}


def _seconds(records: Sequence[Record], key: str) -> Summary:
    return Summary.of([getattr(record, key) for record in records])


def _interval(figure: Summary) -> str:
    return f"{figure.median:.3g} [{figure.low:.3g}, {figure.high:.3g}]"


def _paper(cell: Cell) -> str:
    return f"{cell[0]:.2f} / {cell[1]:.2f} / {cell[2]:.2f}"
