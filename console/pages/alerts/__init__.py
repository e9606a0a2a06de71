"""Alerts and the channels that they are sent to."""
