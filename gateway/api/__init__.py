"""The management API: django-ninja under /api, its documentation at /docs.

`gateway.api.app` assembles it. Nothing imports that before the first request to Django: with ninja
and pydantic, it is a third of what a start would import.
"""
