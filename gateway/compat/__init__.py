"""Compatibility with other gateways."""
