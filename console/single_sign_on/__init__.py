"""Sign-in through an OpenID Connect provider, by django-allauth behind pages of our own.

It exists only where the extra `sso` is installed (settings.SSO_INSTALLED).
"""
