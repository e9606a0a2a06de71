"""Environment variables that clients of the gateway read: its address and their key."""

from __future__ import annotations

BASE_URL_VARIABLE = "DRAGOMAN_BASE_URL"
KEY_VARIABLE = "DRAGOMAN_API_KEY"
