"""Folders that every node of a cluster sees: a shared disk, or an object store.

An address is a path, or a URI that Arrow's file systems know: s3://bucket/folder, gs://bucket/folder,
file:///folder. Credentials come from the environment.
"""

import os
import uuid
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pyarrow import ArrowException
from pyarrow import fs as arrow_fs

from model_core.alignment.folder import SUFFIXES, find_photos
from model_core.atomic_file import PARTIAL, write_file
from model_core.batch.preparation import (
    Look,
    PreparedPhoto,
    SourceLostError,
    UnreadableError,
    check_size,
    prepare_from,
)
from model_core.errors import InvalidInputError


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder on a disk or in an object store.

    Attributes:
        address: Path or URI, as the user gave it.
        files: Its file system.
        root: Its path there, without a slash at the end.
        local: Its path, if the address is one rather than a URI.
    """

    address: str
    files: arrow_fs.FileSystem
    root: str
    local: Path | None = None

    @classmethod
    def open(cls, address: str) -> "Folder":
        """Open a folder by its address; it need not exist.

        Raises:
            InvalidInputError: If no file system has that kind of address.
        """
        if "://" not in address:
            path = Path(address).absolute()
            return cls(str(path), arrow_fs.LocalFileSystem(), os.fspath(path), path)
        try:
            files, root = arrow_fs.FileSystem.from_uri(address)
        except (ArrowException, OSError, ValueError) as err:
            raise InvalidInputError(
                f"address must be a path or a URI such as s3://bucket/folder, got {address}: {err}"
            ) from err
        return cls(address, files, root.rstrip("/"))

    def photos(self, besides: "Folder") -> list[tuple[str, str]]:
        """List the photos in it and its subfolders, except those in another folder.

        Returns:
            Where each photo is, for `read` or as a path, and its name: its place in this folder,
            with slashes. In the order of their names.
        """
        if self.local is not None:
            on_disk = isinstance(besides.files, arrow_fs.LocalFileSystem)
            found = find_photos(self.local, Path(besides.root) if on_disk else Path(os.devnull))
            return [(os.fspath(photo), photo.relative_to(self.local).as_posix()) for photo in found]
        same = self.files == besides.files
        inside = f"{besides.root}/" if same else None
        selector = arrow_fs.FileSelector(self.root, recursive=True, allow_not_found=True)
        photos = []
        for info in self.files.get_file_info(selector):
            name = info.path.removeprefix(self.root).lstrip("/")
            if info.type != arrow_fs.FileType.File or f".{info.extension}".lower() not in SUFFIXES:
                continue
            if info.base_name.startswith(".") or (inside and info.path.startswith(inside)):
                continue
            photos.append((info.path, name))
        return sorted(photos, key=lambda photo: os.fsencode(photo[1]))

    def is_same(self, other: "Folder") -> bool:
        """Whether another address names this folder too."""
        if isinstance(self.files, arrow_fs.LocalFileSystem):
            return (
                self.files == other.files
                and Path(self.root).resolve() == Path(other.root).resolve()
            )
        return self.files == other.files and self.root == other.root

    def names(self, below: str) -> list[str]:
        """Return the names of the files in a subfolder, in order; none if it does not exist."""
        selector = arrow_fs.FileSelector(self.place(below), allow_not_found=True)
        infos = self.files.get_file_info(selector)
        return sorted(info.base_name for info in infos if info.type == arrow_fs.FileType.File)

    def read(self, name: str) -> bytes | None:
        """Return a file's bytes; None if there is no such file."""
        if self.files.get_file_info(self.place(name)).type != arrow_fs.FileType.File:
            return None
        with self.files.open_input_file(self.place(name)) as file:
            return bytes(file.read())

    def write(self, name: str, data: bytes) -> None:
        """Write a file: readers see the old one, or nothing, until they see all of the new one."""
        place = self.place(name)
        if self.local is not None:
            target = Path(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_file(target, data)
        elif self.files.type_name == "local":
            folder, _, base = place.rpartition("/")
            partial = f"{folder}/.{base}.{uuid.uuid4().hex}{PARTIAL}"
            self.files.create_dir(folder, recursive=True)
            self._put(partial, data)
            self.files.move(partial, place)
        else:  # an object appears when it is complete
            self._put(place, data)

    def place(self, name: str) -> str:
        """Return the path of a file on the file system, from its name in this folder."""
        return f"{self.root}/{name}" if name else self.root

    def _put(self, place: str, data: bytes) -> None:
        with self.files.open_output_stream(place) as file:
            file.write(data)


def prepare_object(source: str, place: str, name: str, look: Look) -> PreparedPhoto:
    """Read a photo from an object store and crop its faces; a fault becomes its `reason`.

    Args:
        source: Address of the folder of photos.
        place: Where it is, from `Folder.photos`.
        name: Its name.
        look: What to prepare.

    Raises:
        SourceLostError: If the store itself cannot be read, as when credentials have expired.
    """
    folder = _opened(source)

    def read() -> bytes:
        files = folder.files
        size_bytes = files.get_file_info(place).size
        if size_bytes is None:
            raise UnreadableError("it is not there any more")
        check_size(size_bytes)
        with files.open_input_file(place) as file:
            return bytes(file.read())

    def read_or_stop() -> bytes:
        try:
            return read()
        except OSError:
            try:
                folder.files.get_file_info(folder.root)
            except OSError as err:
                raise SourceLostError(
                    f"{source} cannot be read any more ({err}); run the same command again to "
                    "continue"
                ) from err
            return read()  # the store answers: perhaps it has answered too late

    return prepare_from(read_or_stop, name, look)


@lru_cache(maxsize=1)
def _opened(source: str) -> Folder:
    """Open a folder once in each process: finding a bucket's region takes a request."""
    return Folder.open(source)
