"""All supported wire formats, by name."""

from __future__ import annotations

from gateway.dialects.anthropic_messages import DIALECT as ANTHROPIC_MESSAGES
from gateway.dialects.base import Dialect
from gateway.dialects.bedrock_converse import DIALECT as BEDROCK_CONVERSE
from gateway.dialects.cohere import DIALECT as COHERE
from gateway.dialects.gemini import DIALECT as GEMINI
from gateway.dialects.ollama import DIALECT as OLLAMA
from gateway.dialects.openai_chat import DIALECT as OPENAI_CHAT
from gateway.dialects.openai_completions import DIALECT as OPENAI_COMPLETIONS
from gateway.dialects.openai_embeddings import DIALECT as OPENAI_EMBEDDINGS
from gateway.dialects.openai_responses import DIALECT as OPENAI_RESPONSES

DIALECTS: dict[str, Dialect] = {
    dialect.name: dialect
    for dialect in (
        OPENAI_CHAT,
        OPENAI_RESPONSES,
        ANTHROPIC_MESSAGES,
        GEMINI,
        OLLAMA,
        OPENAI_EMBEDDINGS,
        BEDROCK_CONVERSE,
        COHERE,
        OPENAI_COMPLETIONS,
    )
}

# Dialects that clients may use.
CLIENT_DIALECTS: dict[str, Dialect] = {
    name: dialect for name, dialect in DIALECTS.items() if dialect.serves_clients
}

# Dialect of a provider -> the dialect of its embeddings, where they differ.
EMBED_DIALECTS: dict[str, str] = {
    "openai_chat": "openai_embeddings",
    "openai_responses": "openai_embeddings",
    "openai_completions": "openai_embeddings",
}
