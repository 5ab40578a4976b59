"""The client of the service; it needs neither torch nor the rest of wplus."""

from wplus_client.async_client import AsyncClient, AsyncJob
from wplus_client.client import Client, Job
from wplus_client.errors import ServiceError, UnreachableError
from wplus_client.face import Face

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Face",
    "Job",
    "ServiceError",
    "UnreachableError",
]
