"""The service on stand-ins, for the client to call."""

from tests.service.conftest import client, serve  # noqa: F401 - fixtures
