"""Dragoman's gateway: everything but the pages."""
