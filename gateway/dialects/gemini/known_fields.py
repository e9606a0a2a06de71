"""The fields of a client's request that are read, at every depth; turns report their parts'."""

from __future__ import annotations

from gateway.dialects.shared.known_fields import OTHERS, compile_fields, named
from gateway.dialects.shared.web_search import GOOGLE_OPTIONS

KNOWN_FIELDS = compile_fields(
    {
        OTHERS: None,
        "systemInstruction": {"role": None, "parts": named("text")},
        "contents": {
            "role": None,
            "parts": {
                OTHERS: None,
                "inlineData": named("mimeType", "data", "displayName"),
                "fileData": named("mimeType", "fileUri", "displayName"),
            },
        },
        "tools": {OTHERS: None, "googleSearch": named("excludeDomains", *GOOGLE_OPTIONS)},
    }
)
