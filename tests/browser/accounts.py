"""Creates the users of the browser tests in a site's database and signs them in.

Run as a program on the site's data; prints a session key for each name as JSON.
"""

from __future__ import annotations

import json

import django

PASSWORD = "correct horse battery"


def main() -> None:
    """Create the users `admin` and `viewer`."""
    django.setup()
    from django.contrib.auth import (
        BACKEND_SESSION_KEY,
        HASH_SESSION_KEY,
        SESSION_KEY,
        get_user_model,
    )

    from console.sessions import SessionStore

    users = get_user_model()._default_manager
    keys = {}
    for name, admin in (("admin", True), ("viewer", False)):
        user = users.create_user(name, password=PASSWORD, is_staff=admin, is_superuser=admin)
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        keys[name] = session.session_key
    print(json.dumps(keys))


if __name__ == "__main__":
    main()
