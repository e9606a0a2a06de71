"""Guardrails: checks of requests and responses, as values and pure functions.

`gateway.relay.run.guardrails` runs them.
"""
