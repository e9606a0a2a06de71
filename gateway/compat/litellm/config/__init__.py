"""LiteLLM's configuration file, understood as it is.

`read(path)` gives a `Config` or raises `Mistake`; `apply.apply(config)` writes it to
the registry. `keys.SECTIONS` says of every key what becomes of it.
"""

from __future__ import annotations

from gateway.compat.litellm.config.parse import read
from gateway.compat.litellm.config.reader import Mistake
from gateway.compat.litellm.config.rows import Config

__all__ = ["Config", "Mistake", "read"]
