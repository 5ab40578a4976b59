"""Embed every face in a folder on the machines of a Ray cluster.

Each shard of photos is one task of Ray Data; actors that keep the networks loaded embed it as
`wplus embed` does on one machine, and write its file of the table. If an actor is lost, Ray starts
another and gives it the shard again. The result does not depend on who computed what.
"""

import argparse
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from model_core.batch.cluster_worker import ShardEmbedder, Task, describe
from model_core.batch.embedding import COMPILE_FROM, Row, Wanted, settings_of
from model_core.batch.listing import Progress
from model_core.batch.shared_table import SharedTable
from model_core.batch.storage import Folder
from model_core.errors import InvalidInputError, WplusError
from model_core.skipped import printable

CONNECT_S = 5
RETRIES = 3  # of a shard whose actor was lost; a shard that ends every actor must end the run
LOCAL_STORE_BYTES = 100_000_000  # only names and counts go through it
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
RAISED = re.compile(r"^((?:\w+\.)*\w*(?:Error|Exception)): (.+)$", re.MULTILINE)
SETTINGS_FRAME = b"\x04"  # the first frame of a server that speaks HTTP/2, as gRPC does

_log = logging.getLogger(__name__)


class ClusterError(WplusError):
    """The cluster cannot be reached, or cannot run this."""


@dataclass(frozen=True, slots=True)
class Workers:
    """The actors that embed.

    Attributes:
        cpus: Processor cores of each: threads of its networks; all but one also read photos.
        gpus: GPUs of each; a fraction shares one.
        most: Their largest number; None takes as many as the cluster has room for now.
    """

    cpus: int = 1
    gpus: float = 0.0
    most: int | None = None


@contextmanager
def connected(address: str) -> Iterator[None]:
    """Join a cluster, or start one on this machine; leave it, or end it, at the end.

    Args:
        address: local, auto (the cluster that this machine is part of, or RAY_ADDRESS), or
            HOST:PORT.

    Raises:
        ClusterError: If there is no cluster, or it is of another version.
        InvalidInputError: If the address is none of these.
    """
    _probe(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports to its makers otherwise
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Those of its own statistics; ours come with what the actors return.
    os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
    own: dict[str, Any] = {}
    if address == "local":
        # Ray's only way to listen on the loopback interface alone; read when it is imported.
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        own = {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    try:
        import ray
    except ModuleNotFoundError as err:
        if err.name != "ray":
            raise
        raise ClusterError("--ray needs the package ray: pip install 'wplus[scale]'") from err
    try:
        ray.init(address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as err:
        raise ClusterError(f"the Ray cluster {address} cannot be used: {_first_line(err)}") from err
    try:
        yield
    finally:
        ray.shutdown()


def embed_on_cluster(
    source: Folder,
    target: Folder,
    networks: argparse.Namespace,
    wanted: Wanted,
    workers: Workers,
    progress: Progress,
) -> int:
    """Embed the photos of a folder into a table, resuming an earlier run; needs `connected`.

    Args:
        source: Folder of photos, which all machines see.
        target: Folder of the table, which all machines see.
        networks: What each actor loads: the options of `command.add_network_options`.
        wanted: What to write.
        workers: How many actors, and how large.
        progress: Called at the start and after each shard with the photos done, the total, and the
            faces found so far.

    Returns:
        The number of photos without a face.

    Raises:
        InvalidInputError: If the folder has no photos, a number is out of range, or the target
            was started with other settings.
        ClusterError: If the cluster has no room, or a shard failed; what is finished stays.
    """
    if min(wanted.shard_photos, workers.cpus, 1 if workers.most is None else workers.most) < 1:
        raise InvalidInputError(
            "shard, actors and actor-cpus must be 1 or more, got "
            f"{wanted.shard_photos}, {workers.most} and {workers.cpus}"
        )
    if workers.gpus < 0:
        raise InvalidInputError(f"actor-gpus must be 0 or more, got {workers.gpus:g}")
    photos = [(place, printable(name)) for place, name in source.photos(target)]
    if not photos:
        raise InvalidInputError(f"source must be a folder of photos, got {source.address}")
    if source.is_same(target):  # images of one run would be photos of the next
        raise InvalidInputError(
            f"OUT must be another folder than the photos', got {target.address}"
        )
    room = _room(workers)
    expected = describe(networks)
    settings = settings_of(expected.about, wanted, expected.second_glance)
    with SharedTable(target, settings) as table:
        done = table.finished()
        left = [photo for photo in photos if photo[1] not in done]
        finished, faces = len(photos) - len(left), 0
        progress(finished, len(photos), faces)
        if left:
            shards = _shards(left, wanted.shard_photos, table)
            size = min(workers.most or room, len(shards))
            task = Task(
                source.address,
                target.address,
                table.run,
                networks,
                wanted,
                threads=workers.cpus,
                readers=max(1, workers.cpus - 1),
                compiles=len(left) >= COMPILE_FROM * size,
                expected=expected,
            )
            for result in run_shards(ShardEmbedder, task, shards, workers, min(room, size), size):
                finished, faces = finished + result["photos"], faces + result["faces"]
                progress(finished, len(photos), faces)
        return table.list_skipped()


def _probe(address: str) -> None:
    """Refuse an address where nobody listens, for which Ray would wait a minute."""
    if address in ("local", "auto"):
        return
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme or not parts.hostname or port is None:
        hint = _hint(parts.scheme)
        raise InvalidInputError(f"ray must be local, auto or HOST:PORT, got {address}{hint}")
    try:
        with socket.create_connection((parts.hostname, port), CONNECT_S) as connection:
            connection.settimeout(CONNECT_S)
            connection.sendall(HELLO)
            speaks = connection.recv(4)[3:] == SETTINGS_FRAME
    except OSError as err:
        raise ClusterError(f"no Ray cluster answers at {address}: {err}") from err
    if not speaks:
        raise ClusterError(f"no Ray cluster answers at {address}, but something else does")


def _hint(scheme: str) -> str:
    """Say what to use instead of Ray Client, through which datasets cannot be run."""
    if scheme != "ray":
        return ""
    return "; submit the command to the cluster instead: ray job submit ... --ray auto"


def _room(workers: Workers) -> int:
    """Return for how many actors the cluster has room now.

    Raises:
        ClusterError: If there is room for none, and none are announced by their number.
    """
    has = _resources()
    room = int(has.get("CPU", 0) // workers.cpus)
    if workers.gpus:
        room = min(room, int(has.get("GPU", 0) // workers.gpus))
    if not room:
        lacks = (
            f"the cluster must have {workers.cpus} CPUs and {workers.gpus:g} GPUs for an actor, "
            f"got {has.get('CPU', 0):g} and {has.get('GPU', 0):g}"
        )
        if workers.most is None:
            raise ClusterError(f"{lacks}; if machines join on demand, say --actors")
        _log.warning("%s; waiting for machines to join", lacks)
    return room


def _resources() -> dict[str, float]:
    import ray

    has: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return has


def has_gpus() -> bool:
    """Whether the cluster has GPUs; needs `connected`."""
    return _resources().get("GPU", 0) >= 1


def _shards(photos: list[tuple[str, str]], size: int, table: SharedTable) -> list[Row]:
    """Cut photos into shards, and number them as an uninterrupted run would."""
    cuts = [photos[start : start + size] for start in range(0, len(photos), size)]
    return [
        {
            "number": number,
            "places": [place for place, _ in cut],
            "names": [name for _, name in cut],
        }
        for number, cut in zip(table.free_numbers(len(cuts)), cuts, strict=True)
    ]


def run_shards(
    actor: type,
    task: object,
    shards: list[Row],
    workers: Workers,
    first: int,
    most: int,
) -> Iterator[Row]:
    """Give shards to actors by Ray Data; yield what they return, in the order they finish.

    Args:
        actor: Class of the actors, called with a shard.
        task: Its argument.
        shards: The actors' work.
        workers: How large they are.
        first: How many to start with, all at once.
        most: How many there may be.

    Raises:
        ClusterError: If a shard failed, or ended every actor that tried it.
    """
    import ray
    from ray import data

    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    # A machine that leaves while an actor of it starts must not end the run.
    context.max_consecutive_actor_init_deaths = RETRIES
    # One shard at a time for each actor, so that the last ones are not queued behind each other.
    pool = data.ActorPoolStrategy(
        min_size=1, max_size=most, initial_size=max(1, first), max_tasks_in_flight_per_actor=1
    )
    with warnings.catch_warnings():
        # Ray 2.64 will have another way to say it, which 2.60 does not have yet.
        warnings.filterwarnings("ignore", "`ray_remote_args` is deprecated")
        dataset = data.from_items(shards, override_num_blocks=len(shards)).map(
            actor,
            fn_constructor_args=(task,),
            compute=pool,
            num_cpus=workers.cpus,
            num_gpus=workers.gpus or None,
            max_task_retries=RETRIES,
        )
    try:
        yield from dataset.iter_rows()
    except ray.exceptions.RayError as err:
        raise ClusterError(f"a shard failed: {reason_of(err)}") from err


def reason_of(err: Exception) -> str:
    """Return the error of the process in which it happened, out of Ray's traceback of it."""
    for kind, message in RAISED.findall(str(err)):  # the first cause comes first
        if not kind.startswith("ray."):
            return message if kind.startswith("model_core.") else f"{kind}: {message}"
    return _first_line(err)


def _first_line(err: BaseException) -> str:
    return str(err).strip().partition("\n")[0] or type(err).__name__
