"""The management API: django-ninja below /api, its document at /docs."""

from __future__ import annotations

from gateway.api.app import api

__all__ = ["api"]
