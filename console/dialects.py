"""The dialects in which the console asks by itself: in the playground and in a dry run.

Those whose requests are a conversation in a JSON body that names its model, and that its
own tests cover. Clients may speak all of `gateway.dialects.SERVED`.
"""

from __future__ import annotations

from gateway.dialects import SERVED
from gateway.dialects.base import Dialect

OFFERED: dict[str, Dialect] = {name: SERVED[name] for name in ("openai_chat", "anthropic_messages")}
