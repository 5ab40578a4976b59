"""Checks made before anything heavy is imported, so that a doomed start fails at once."""

import errno
import os
import shutil
import socket
import warnings
from pathlib import Path

from model_core.errors import CheckpointError, WplusError
from model_core.weights.cache import is_packed, network_path, weight_path
from service.api_keys import read_keys
from service.settings import PREFIX, Settings

BACKLOG = 2048  # uvicorn's
MIN_FREE_BYTES = 64_000_000  # the default generator's compiled code takes 30 MB
NEAREST_PORTS = 50
LANDMARKS = "shape_predictor_68_face_landmarks"  # model_core.networks.loading imports torch
PULL = "`python -m model_core.checkpoints pull`"


class StartError(WplusError):
    """The service cannot start with these settings; the message says what to do."""


def listen(host: str, port: int) -> list[socket.socket]:
    """Bind the port on every address of a host; callers queue until the server accepts them.

    Args:
        host: Name or address.
        port: TCP port; 0 takes a free one.

    Raises:
        StartError: If the port is taken or not permitted, or the host is not this machine.
    """
    try:
        return _bind(host, port)
    except OSError as err:
        raise StartError(_why_not(host, port, err)) from err


def check_metrics_port(settings: Settings, field: str) -> None:
    """Refuse a metrics port that is taken.

    Raises:
        StartError: If it is.
    """
    port = getattr(settings, field)
    if port is None:
        return
    try:
        for each in listen(settings.host, port):
            each.close()
    except StartError as err:
        raise StartError(f"{PREFIX}{field.upper()} must be free, got {port}") from err


def check_files(settings: Settings, compiled: Path) -> None:
    """Refuse to start without the files and folders that the settings name, or without room.

    Args:
        settings: As read.
        compiled: Where compiled code is kept.

    Raises:
        StartError: If one is missing, or the disk is full.
        CheckpointError: If weights are missing, or the generator's name is unknown.
        KeyFileError: If a file of API keys is configured but cannot be read.
    """
    if settings.api_keys is not None:
        read_keys(settings.api_keys)
    folder = settings.directions
    if folder is not None and not folder.is_dir():
        raise StartError(f"{PREFIX}DIRECTIONS must be a folder, got none at {folder}")
    _check_file("NETWORK", settings.network)
    _check_file("POLISH_HEAD", settings.polish_head_path)
    _check_file("DETAIL_ENCODER", settings.detail_encoder_path)
    check_worker_files(settings, compiled)


def check_worker_files(settings: Settings, compiled: Path) -> None:
    """Refuse to start a worker without the files and folders that it needs, or without room.

    Args:
        settings: As read.
        compiled: Where compiled code is kept.

    Raises:
        StartError: If one is missing, or the disk is full.
        CheckpointError: If weights are missing, or the generator's name is unknown.
    """
    if settings.jobs:
        _check_file("REFINE_HEAD", settings.refine_head_path)
    _check_file("DETAIL_ENCODER", settings.detail_encoder_path)
    _check_weights(settings)
    _check_room(settings, compiled)


def _check_file(name: str, path: Path | None) -> None:
    if path is not None and not path.is_file():
        raise StartError(f"{PREFIX}{name} must be a file, got none at {path}")


def check_device(device: str) -> None:
    """Refuse a GPU that torch cannot use; this imports torch unless the device is the CPU.

    Raises:
        StartError: If torch cannot use it.
    """
    if device == "cpu":
        return
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch explains at length why it finds none
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(device.partition(":")[2] or 0) < count:
        return
    if count:
        reason = f"there {'is 1 GPU' if count == 1 else f'are {count} GPUs'}, counted from 0"
    elif torch.version.cuda is None and torch.version.hip is None:
        reason = "the installed torch is built without CUDA"
    else:
        reason = "torch finds no GPU, or no driver for it"
    raise StartError(
        f"{PREFIX}DEVICE must be a device that torch can use, got {device}: {reason}; "
        f"{PREFIX}DEVICE=cpu runs on the CPU"
    )


def _check_weights(settings: Settings) -> None:
    """Check that the weights are there; they are hashed when they are loaded."""
    cache = settings.cache
    if not cache.is_dir():
        raise StartError(
            f"{PREFIX}CACHE must be a folder with the weights, got none at {cache}: {PULL} fills it"
        )
    needed = [weight_path(cache, name) for name in ("st-lpips-alex", LANDMARKS)]
    if is_packed(settings.generator):
        needed.append(weight_path(cache, settings.generator))
    else:
        network_path(cache, settings.generator)
    for path in needed:
        if not path.is_file():
            raise CheckpointError(f"{path} must be a file, got none; {PULL} fetches it")


def _check_room(settings: Settings, compiled: Path) -> None:
    """Check for a full disk where a compiler or an embedded queue is going to write."""
    writes = [compiled] if settings.backend in ("auto", "compile") else []
    if settings.jobs and settings.redis_url is None:
        writes.append(settings.cache / "jobs")
    for folder in writes:
        there = next(each for each in (folder, *folder.absolute().parents) if each.is_dir())
        free = shutil.disk_usage(there).free
        if free < MIN_FREE_BYTES and os.access(there, os.W_OK):
            raise StartError(
                f"the disk of {folder} must have {MIN_FREE_BYTES / 1e6:.0f} MB free, "
                f"got {free / 1e6:.0f} MB: make room, or set {PREFIX}CACHE to a folder elsewhere"
            )


def _bind(host: str, port: int) -> list[socket.socket]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    absent = None
    try:
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            same = sockets[0].getsockname()[1] if sockets else port
            at = (address[0], same, *address[2:])
            try:
                sockets.append(socket.create_server(at, family=family, backlog=BACKLOG))
            except OSError as err:
                if err.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    raise
                absent = err  # the address has a name here, but IPv6 does not work
        if absent is not None and not sockets:
            raise absent
    except OSError:
        for each in sockets:
            each.close()
        raise
    return sockets


def _why_not(host: str, port: int, failure: OSError) -> str:
    """Explain why a port cannot be bound, and what to do."""
    if failure.errno == errno.EADDRINUSE:
        free = _free_port(host, port)
        return f"port {port} is taken: try make serve PORT={free} (or {PREFIX}PORT={free})"
    if failure.errno in (errno.EACCES, errno.EPERM):
        return f"{PREFIX}PORT must be one that this user may bind, such as 1024 and up, got {port}"
    return f"{PREFIX}HOST must be an address of this machine, got {host}: {failure.strerror}"


def _free_port(host: str, port: int) -> int:
    """Find the next free port; 0, which takes any, if none is near."""
    for each in range(port + 1, min(port + NEAREST_PORTS, 65536)):
        try:
            for found in _bind(host, each):
                found.close()
        except OSError:
            continue
        return each
    return 0
