"""What the documents name is there: files, headings, modules, commands."""

import importlib.util
import re
from pathlib import Path

import pytest

from wplus.__main__ import COMMANDS

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "adr").glob("*.md"),
    ROOT / "weights" / "README.md",
    ROOT / "wplus_client" / "README.md",
]
DECISIONS = sorted((ROOT / "docs" / "adr").glob("*.md"))
LINK = re.compile(r"\]\(([^)\s]+)\)")
MODULE = re.compile(r"python -m ([\w.]+)")
COMMAND = re.compile(r"^ {4}(?:WPLUS_\w+=\S+ )?wplus ([\w-]+)|`wplus ([\w-]+)", re.MULTILINE)
CURL = re.compile(r"^ {4}curl .*$", re.MULTILINE)
FOREIGN = {"pip", "venv"}
PAST = "CHANGELOG.md"  # it names what has moved


def name_of(path):
    return str(path.relative_to(ROOT))


def anchors(path):
    """The anchors of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", each.lower()).replace(" ", "-") for each in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path):
    for link in LINK.findall(path.read_text()):
        if link.startswith(("http://", "https://")):
            continue
        file, _, anchor = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != PAST], ids=name_of)
def test_documented_commands_exist(path):
    text = path.read_text()
    for module in set(MODULE.findall(text)) - FOREIGN:
        assert importlib.util.find_spec(module), module
    commands = {first or second for first, second in COMMAND.findall(text)}
    assert commands <= COMMANDS.keys() | {"COMMAND", "--help", "--version"}


def test_the_architecture_page_lists_every_decision():
    text = (ROOT / "docs" / "architecture.md").read_text()
    assert all(f"(adr/{path.name})" in text for path in DECISIONS)


@pytest.mark.parametrize("path", DECISIONS, ids=name_of)
def test_a_decision_has_all_sections(path):
    text = path.read_text()
    assert re.search(r"^Date: \d{4}-\d\d-\d\d\. Status: ", text, re.MULTILINE)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings == ["Context", "Decision", "Alternatives", "Consequences"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_an_error_is_not_taken_for_a_result(path):
    """curl exits with 0 on an error, and writes it to -o, unless told to fail."""
    assert all("--fail-with-body" in line for line in CURL.findall(path.read_text()))
