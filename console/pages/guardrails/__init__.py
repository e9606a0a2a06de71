"""Guardrails: checks of requests and responses."""
