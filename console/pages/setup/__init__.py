"""Setup wizard: an account, a provider, a key, a client. It can be interrupted and resumed."""

from __future__ import annotations

from console.pages.setup.account import account
from console.pages.setup.connect import finish, setup_connect
from console.pages.setup.gate import setup
from console.pages.setup.key import key
from console.pages.setup.provider import provider, provider_test

__all__ = ["account", "finish", "key", "provider", "provider_test", "setup", "setup_connect"]
