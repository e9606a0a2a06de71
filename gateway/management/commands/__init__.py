"""Thin shells over functions; `manage.py help` lists them."""
