"""Alerts: conditions of the gateway that operators are notified of, and their delivery."""
