"""State of a passthrough call: its operation, form and resource id."""

from __future__ import annotations

from gateway.framing.multipart import Part
from gateway.providers.offers import Operation
from gateway.relay.exchange.passthrough_usage import PassthroughUsage
from gateway.relay.exchange.spool import Spool


class PassthroughState:
    """The state of a passthrough call: its operation, form and resource id.

    Attributes:
        operation: the operation; None if the path does not allow the method.
        allowed_methods: the methods of the path, for the 405 response.
        spool: stores the large parts of a form; None for other bodies.
        resource_id: the provider's id of the requested resource; empty if the path has none.
        version: the `v1` or `v2` of the path.
        owner_key_id: the API key that owns the resources; None if every resource is visible.
        form: the parts of a form in order; None for other bodies.
        boundary: the multipart boundary of the form.
        query: the query parameters to send upstream.
        rerank_format: the request format of a rerank call.
        logged_body: the upstream request body as it is logged.
        sent_bytes: the size of the upstream request body.
        usage: the usage that the response reports.
    """

    __slots__ = (
        "allowed_methods",
        "boundary",
        "form",
        "logged_body",
        "operation",
        "owner_key_id",
        "query",
        "rerank_format",
        "resource_id",
        "sent_bytes",
        "spool",
        "usage",
        "version",
    )

    def __init__(self, operation: Operation | None, allowed_methods: str, version: str) -> None:
        self.operation = operation
        self.allowed_methods = allowed_methods
        self.version = version
        self.spool: Spool | None = None
        self.resource_id = ""
        self.owner_key_id: int | None = None
        self.form: list[Part] | None = None
        self.boundary = ""
        self.query: tuple[tuple[str, str], ...] = ()
        self.rerank_format = ""
        self.logged_body = b""
        self.sent_bytes = 0
        self.usage: PassthroughUsage | None = None
