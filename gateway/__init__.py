"""Dragoman's gateway: everything except the console."""
