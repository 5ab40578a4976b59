"""The errors of the client."""

import httpx2 as httpx


class ServiceError(Exception):
    """The service refused a call, or a job failed.

    Attributes:
        code: The service's stable name for the error; `http-error` if something else answered.
        status: HTTP status; 200 if the call succeeded and the job failed.
    """

    def __init__(self, code: str, detail: str, status: int) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.status = code, status


class UnreachableError(httpx.TransportError):
    """There is no answer from the service's address."""
