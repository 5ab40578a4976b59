"""The client of the service; it imports neither torch nor the service."""

from wplus_client.client import Client, Face, Job, ServiceError, UnreachableError

__all__ = ["Client", "Face", "Job", "ServiceError", "UnreachableError"]
