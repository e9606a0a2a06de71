"""The HTTP client of the identity provider's endpoints, for allauth and for the check."""

from __future__ import annotations

import os
from typing import Any

import requests

from gateway.relay.upstream.tls import CA_DIRECTORY, CA_FILE

# No longer than a person would wait.
TIMEOUT_S = 10


class ProviderSession(requests.Session):
    """A session with a time limit, which trusts the authorities that the environment names.

    The proxies of the environment are those that requests reads.
    """

    def request(self, *args: Any, **kwargs: Any) -> requests.Response:
        """Send a request. Raises requests.RequestException."""
        kwargs.setdefault("timeout", TIMEOUT_S)
        # requests itself reads REQUESTS_CA_BUNDLE alone, which would precede one of the session.
        authorities = os.environ.get(CA_FILE) or os.environ.get(CA_DIRECTORY)
        if authorities and kwargs.get("verify") is None:
            kwargs["verify"] = authorities
        return super().request(*args, **kwargs)
