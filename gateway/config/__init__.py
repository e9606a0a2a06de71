"""The composition root: settings, URLs, the ASGI application."""
