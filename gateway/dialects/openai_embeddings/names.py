"""What the parts of this dialect agree on."""

from __future__ import annotations

from typing import Any

NAME = "openai_embeddings"
PATH = "/embeddings"
Json = dict[str, Any]
