"""The client of the service; it needs neither torch nor the rest of wplus."""

from wplus_client.async_client import AsyncClient, AsyncFilmJob, AsyncJob
from wplus_client.client import Client, FilmJob, Job
from wplus_client.errors import ServiceError, UnreachableError
from wplus_client.face import Face

__all__ = [
    "AsyncClient",
    "AsyncFilmJob",
    "AsyncJob",
    "Client",
    "Face",
    "FilmJob",
    "Job",
    "ServiceError",
    "UnreachableError",
]
