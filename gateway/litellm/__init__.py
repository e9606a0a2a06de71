"""LiteLLM's configuration file, understood as it is.

`read(path)` gives a `Config` or raises `Mistake`; `apply.apply(config)` writes it to
the registry. `keys.SECTIONS` says of every key what becomes of it.
"""

from __future__ import annotations

from gateway.litellm.parse import read
from gateway.litellm.reader import Mistake
from gateway.litellm.rows import Config

__all__ = ["Config", "Mistake", "read"]
