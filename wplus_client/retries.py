"""Decide whether and when to send a request again."""

import email.utils
import math
import time
from dataclasses import dataclass

import httpx2 as httpx

from wplus_client.answers import read_refusal
from wplus_client.errors import UnreachableError

BUSY = (429, 503)
MAX_WAIT_S = 60.0  # between two attempts, whatever the service asks for


@dataclass(frozen=True)
class Retries:
    """How often to retry while the service is busy or unreachable.

    Args:
        url: Where the service is, for messages.
        tries: Attempts in all, at least 1.

    Raises:
        ValueError: If the URL is not http or https, or tries is less than 1.
    """

    url: str
    tries: int

    def __post_init__(self) -> None:
        if not self.url.lower().startswith(("http://", "https://")):
            raise ValueError(f"url must begin with http:// or https://, got {self.url}")
        if self.tries < 1:
            raise ValueError(f"tries must be at least 1, got {self.tries}")

    def after_failure(self, failure: httpx.TransportError, attempt: int) -> float:
        """Return the seconds to wait before the next attempt.

        Args:
            failure: Why there is no answer.
            attempt: The attempt that failed, from 1 on.

        Raises:
            UnreachableError: If it was the last attempt and nothing answers at the address.
            httpx2.TransportError: If it was the last attempt and failed otherwise.
        """
        if attempt < self.tries:
            return float(attempt)
        if isinstance(failure, httpx.ConnectError | httpx.ConnectTimeout):
            raise UnreachableError(
                f"nothing answers at {self.url}: is `wplus serve` or `make serve` running there? "
                f"({failure})"
            ) from failure
        raise failure

    def after_answer(self, answer: httpx.Response, attempt: int) -> float | None:
        """Return the seconds to wait before the next attempt; None if this answer is final.

        Raises:
            ServiceError: If the service refuses, or is still busy after the last attempt.
        """
        if answer.is_success:
            return None
        if answer.status_code in BUSY and attempt < self.tries:
            return _retry_after_s(answer.headers.get("retry-after", ""), float(attempt))
        raise read_refusal(answer)


def _retry_after_s(retry_after: str, default_s: float) -> float:
    """Read Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
    try:
        wait_s = float(retry_after)
    except ValueError:
        try:
            wait_s = email.utils.parsedate_to_datetime(retry_after).timestamp() - time.time()
        except ValueError:
            return default_s
    return min(max(wait_s, 0.0), MAX_WAIT_S) if math.isfinite(wait_s) else default_s
