"""What a call used where its provider does not say: counted here, and marked so.

    estimated        by what its text is (`weigh.rough`), a few percent off
    estimated_size   by its bytes: of a long request, as counting would keep the event loop,
                     and of one that nobody here can read

What is reserved before a call is an upper bound and comes from `amounts` instead.
"""

from __future__ import annotations

import msgspec

from gateway.canon.errors import GatewayError
from gateway.canon.response import Usage
from gateway.relay.call import Call
from gateway.relay.facts import estimate
from gateway.relay.tap import BYTES_PER_TOKEN
from gateway.relay.weigh import weigh_roughly

REPORTED, BY_TEXT, BY_SIZE = "reported", "estimated", "estimated_size"
# A body of this size is counted in half a millisecond (measured 2026-11).
COUNTED_BYTES = 32 * 1024


def usage_of(call: Call) -> tuple[Usage, str]:
    """The usage to bill a call by, and how it is known: one of the three names above."""
    told = call.tap.usage
    if told is not None and told.output is not None and told.prompt is not None:
        return told, BY_SIZE if told.estimated else REPORTED
    base, source = told or Usage(), BY_TEXT
    changes: dict[str, object] = {"estimated": True}
    if base.output is None:
        changes["output"] = -(-call.tap.output_bytes // BYTES_PER_TOKEN)
    if base.prompt is None:
        changes["input"], source = _prompt(call)
    return msgspec.structs.replace(base, **changes), source


def _prompt(call: Call) -> tuple[int, str]:
    size = len(call.body)
    if call.verb == "generate":
        try:
            if size <= COUNTED_BYTES:
                return weigh_roughly(call.request), BY_TEXT
            return estimate(call), BY_SIZE
        except GatewayError:
            pass  # passed through as it is: the provider understood it
    return -(-size // BYTES_PER_TOKEN), BY_SIZE
