"""The destination of exported log files, written through obstore.

S3 and compatible servers, Google Cloud Storage, Azure Blob Storage and folders. Credentials and
endpoints are read from the usual variables of each (`AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`,
`GOOGLE_APPLICATION_CREDENTIALS`, `AZURE_STORAGE_ACCOUNT_KEY`, ...):
https://developmentseed.org/obstore/latest/authentication/
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from obstore.store import ObjectStore

TIMEOUT = dt.timedelta(seconds=60)
_SECRETS = re.compile(r"(?i)(signature|credential|token|key)=[^&\s\"<]+")


class ExportError(Exception):
    """The destination did not accept a file; the text has no secrets."""


class Destination:
    """Writes files below a URL such as `s3://bucket/prefix`."""

    def __init__(self, url: str) -> None:
        """Raises ExportError if the URL or its settings are unusable."""
        from obstore.exceptions import BaseError
        from obstore.store import from_url

        try:
            if urlsplit(url).scheme == "file":
                Path(urlsplit(url).path).mkdir(parents=True, exist_ok=True)
                self._store: ObjectStore = from_url(url)
            else:
                self._store = from_url(
                    url,
                    client_options={
                        "timeout": TIMEOUT,
                        "connect_timeout": dt.timedelta(seconds=10),
                        "allow_http": True,  # the endpoint says which it is
                    },
                    retry_config={"max_retries": 2, "retry_timeout": TIMEOUT},
                )
        except (BaseError, ValueError, OSError) as error:
            raise ExportError(_describe_error(error)) from None

    def write(self, path: str, content: bytes) -> None:
        """Write a file, replacing one with the same path. Raises ExportError."""
        import obstore
        from obstore.exceptions import BaseError

        try:
            obstore.put(self._store, path, content)
        except (BaseError, OSError) as error:
            raise ExportError(_describe_error(error)) from None


def _describe_error(error: Exception) -> str:
    """The first line of an error, without its debug output."""
    text = str(error).strip().partition("\n")[0]
    return _SECRETS.sub(r"\1=***", text)[:400] or type(error).__name__
