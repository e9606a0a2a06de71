"""Every wire format that is spoken here, by name."""

from __future__ import annotations

from gateway.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from gateway.dialects.base import Dialect
from gateway.dialects.openai_chat import DIALECT as OPENAI_CHAT

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect for dialect in (OPENAI_CHAT, ANTHROPIC_MESSAGES)
}
