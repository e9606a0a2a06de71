"""The requests page: list, search, live tail, one request with its tabs, replay, export."""

from __future__ import annotations
