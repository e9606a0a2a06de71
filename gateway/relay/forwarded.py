"""What a call carries that is passed on unread: the operation, its form, its id."""

from __future__ import annotations

from gateway.framing.multipart import Part
from gateway.providers.offers import Operation
from gateway.relay.measure import Measured
from gateway.relay.spool import Spool


class Forwarded:
    """The state of one forwarded call.

    Attributes:
        operation: what is called; None where there is nothing to call by this method.
        allowed: the methods that are, for the refusal.
        spool: where the large parts of a form are; None for another body.
        id: the upstream's id of the one thing asked for.
        version: the `v1` or `v2` of the path.
        owner: the id of the key that things are kept for; None where all may be seen.
        form: the parts of a form, in their order; None for another body.
        boundary: what stands between them.
        query: the parameters to send on.
        shape: the client's shape of a call that has several.
        shown: what the log has as the body that was sent.
        sent_bytes: how long that body is.
        measured: what was used, as the answer says.
    """

    __slots__ = (
        "allowed",
        "boundary",
        "form",
        "id",
        "measured",
        "operation",
        "owner",
        "query",
        "sent_bytes",
        "shape",
        "shown",
        "spool",
        "version",
    )

    def __init__(self, operation: Operation | None, allowed: str, version: str) -> None:
        self.operation = operation
        self.allowed = allowed
        self.version = version
        self.spool: Spool | None = None
        self.id = ""
        self.owner: int | None = None
        self.form: list[Part] | None = None
        self.boundary = ""
        self.query: tuple[tuple[str, str], ...] = ()
        self.shape = ""
        self.shown = b""
        self.sent_bytes = 0
        self.measured: Measured | None = None
