"""Every wire format that is spoken here, by name."""

from __future__ import annotations

from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import DIALECT as OPENAI_CHAT

DIALECTS: dict[str, Dialect] = {OPENAI_CHAT.name: OPENAI_CHAT}

try:
    from gateway.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
except ImportError:
    pass
else:
    DIALECTS[ANTHROPIC_MESSAGES.name] = ANTHROPIC_MESSAGES
