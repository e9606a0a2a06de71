"""Reader of LiteLLM's configuration file, unmodified.

`read(path)` returns a `Config` or raises `ConfigError`; `apply.apply(config)` writes it to
the registry. `key_lookup.SECTIONS` says for every key whether and how it is supported.
"""

from __future__ import annotations

from gateway.compat.litellm.config.parse import read
from gateway.compat.litellm.config.reader import ConfigError
from gateway.compat.litellm.config.rows import Config

__all__ = ["Config", "ConfigError", "read"]
