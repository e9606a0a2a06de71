"""Thin wrappers around functions; `manage.py help` lists them."""
