"""Measure the size of Python code: python docs/log/measure_code.py [--root DIR] NAME=FOLDER,... ...

Sizes leave out `__init__.py` files under 16 lines. doc%: public functions and classes with a
docstring. ann%: functions with all parameters and the result annotated. cmt%: comments per line.
t/s: lines of tests, if there is a folder `tests`, per line of the row. arrows: imports between
modules of the second level (`model_core/training`, `service/app.py`), each pair once, and how many
pairs import from each other.
"""

import argparse
import ast
import io
import statistics
import tokenize
from pathlib import Path

SHORT_INIT = 16
Function = ast.FunctionDef | ast.AsyncFunctionDef


def main() -> None:
    """Print one row per group of folders."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="+", metavar="NAME=FOLDER,...")
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args()
    test_lines = sum(map(count_lines, sorted((options.root / "tests").rglob("*.py"))))
    print("| code | files | lines | file sizes | functions | doc% | ann% | cmt% | t/s | arrows |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for group in options.groups:
        name, folders = group.split("=")
        paths = [p for f in folders.split(",") for p in sorted((options.root / f).rglob("*.py"))]
        print(f"| {name} | {' | '.join(measure(paths, test_lines, options.root))} |")


def count_lines(path: Path) -> int:
    """Count a file's lines."""
    return len(path.read_text().splitlines())


def measure(paths: list[Path], test_lines: int, root: Path) -> list[str]:
    """Return the cells of a row."""
    lines = [count_lines(path) for path in paths]
    sizes = [
        n for p, n in zip(paths, lines, strict=True) if p.name != "__init__.py" or n >= SHORT_INIT
    ]
    nodes = [n for path in paths for n in ast.walk(ast.parse(path.read_text()))]
    functions = [node for node in nodes if isinstance(node, Function)]
    lengths = [(f.end_lineno or f.lineno) - f.lineno + 1 for f in functions]
    public = [
        n for n in nodes if isinstance(n, Function | ast.ClassDef) and not n.name.startswith("_")
    ]
    comments = sum(count_comments(path) for path in paths)
    return [
        str(len(paths)),
        str(sum(lines)),
        spread(sizes),
        spread(lengths),
        percent(sum(ast.get_docstring(n) is not None for n in public), len(public)),
        percent(sum(map(is_annotated, functions)), len(functions)),
        percent(comments, sum(lines)),
        f"{test_lines / sum(lines):.2f}",
        count_arrows(paths, root),
    ]


def count_arrows(paths: list[Path], root: Path) -> str:
    """Count the pairs of second-level modules with imports, and those with imports both ways."""
    known = {path.relative_to(root).with_suffix("") for path in paths}
    arrows = set()
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and not node.level:
                module = Path(*node.module.split("."))
                names = {module, *(module / alias.name for alias in node.names)}
            elif isinstance(node, ast.Import):
                names = {Path(*alias.name.split(".")) for alias in node.names}
            else:
                continue
            start = path.relative_to(root).with_suffix("").parts[:2]
            arrows |= {(start, name.parts[:2]) for name in names & known}
    arrows = {(start, end) for start, end in arrows if start != end}
    return f"{len(arrows)}, {sum((end, start) in arrows for start, end in arrows) // 2}"


def spread(values: list[int]) -> str:
    """Format median, 90th percentile and maximum."""
    tenths = statistics.quantiles(values, n=10, method="inclusive")
    return f"{statistics.median(values):.0f}, {tenths[-1]:.0f}, {max(values)}"


def percent(part: int, whole: int) -> str:
    """Format a share."""
    return f"{100 * part / whole:.1f}"


def is_annotated(function: Function) -> bool:
    """Whether all parameters but self, and the result, are annotated."""
    a = function.args
    parameters = [*a.posonlyargs, *a.args, *a.kwonlyargs, *filter(None, (a.vararg, a.kwarg))]
    given = all(p.annotation is not None or p.arg in {"self", "cls"} for p in parameters)
    return given and function.returns is not None


def count_comments(path: Path) -> int:
    """Count a file's comments."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return sum(token.type == tokenize.COMMENT for token in tokens)


if __name__ == "__main__":
    main()
