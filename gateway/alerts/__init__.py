"""Alerts: conditions of the gateway that people want to hear of, and their delivery."""
