"""Providers: the endpoints that the gateway calls, their keys, and whether they answer."""
