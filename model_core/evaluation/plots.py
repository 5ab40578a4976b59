"""Plot records: curves by start, and the runtimes of figure 5."""

import math
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from model_core.evaluation.paper import CURVE_STEPS, STARTS
from model_core.evaluation.runner import Records
from model_core.evaluation.scoring import higher_is_better
from model_core.evaluation.sheets import after
from model_core.evaluation.summary import Summary
from model_core.evaluation.tables import summarize


def plot_starts(records: Records, measures: Sequence[str], path: Path) -> bool:
    """Plot each metric over the iterator's steps, one line per start; return False without any.

    The marks are means over faces at 10, 20, 50 and 100 steps (those that were run) and at the last
    step. Step 0 is left out because a random code shows no face.
    """
    lines = {start: records[name] for start, name in STARTS.items() if records.get(name)}
    if not lines:
        return False
    marks = next(iter(lines.values()))[0].marks
    steps = [step for step in marks if step in CURVE_STEPS or step == marks[-1]]
    width = math.ceil(len(measures) / 2)
    figure = Figure(figsize=(4 * width, 6.4), layout="constrained")
    for i, name in enumerate(measures):
        axes = figure.add_subplot(2, width, i + 1)
        for start, rows in lines.items():
            values = [summarize(rows, measures, step)[name].mean for step in steps]
            axes.plot(steps, values, marker="o", label=start)
        axes.set_xscale("log")
        axes.set_xticks(steps, [str(step) for step in steps])
        axes.minorticks_off()
        better = "higher" if higher_is_better(name) else "lower"
        axes.set_title(f"{name} ({better} is better)")
        axes.set_xlabel("steps")
    axes.legend(title="start")
    figure.savefig(path, dpi=100)
    return True


def plot_runtimes(records: Records, path: Path) -> bool:
    """Plot each method's seconds per face on a logarithmic axis (figure 5).

    Bars are medians; lines at their ends are bootstrap intervals.
    """
    seconds = {
        name + after(rows): Summary.of([row.total_s for row in rows])
        for name, rows in records.items()
        if rows and name != "mean"
    }
    if not seconds:
        return False
    figure = Figure(figsize=(7, 0.6 + 0.35 * len(seconds)), layout="constrained")
    axes = figure.subplots()
    medians = [summary.median for summary in seconds.values()]
    margins = [(s.median - s.low, s.high - s.median) for s in seconds.values()]
    bars = axes.barh(list(seconds), medians, xerr=[*zip(*margins, strict=True)], capsize=3)
    axes.bar_label(bars, fmt=" %.3g s")
    axes.set_xscale("log")
    axes.margins(x=0.2)
    axes.invert_yaxis()
    axes.set_xlabel("seconds per face")
    figure.savefig(path, dpi=100)
    return True
