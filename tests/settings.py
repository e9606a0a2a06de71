"""The product's settings with a temporary data directory.

pytest-django reads the settings before any conftest is imported, so this module keeps a
developer's data, keys and switches out of the tests.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

for _name in list(os.environ):
    # DATABASE_URL stays: `DATABASE_URL=... pytest tests/store` is how one database is chosen.
    if _name.startswith("DRAGOMAN_") or _name.endswith("_API_KEY"):
        del os.environ[_name]
_data_dir = tempfile.mkdtemp(prefix="dragoman-tests-")
atexit.register(shutil.rmtree, _data_dir, ignore_errors=True)
os.environ["DRAGOMAN_DATA_DIR"] = _data_dir
# A model server of the developer's machine is no part of a test.
os.environ["DRAGOMAN_FIND_LOCAL_SERVERS"] = "false"
# What a test starts as a process of its own reads the product's settings.
os.environ["DJANGO_SETTINGS_MODULE"] = "gateway.config.settings"

from gateway.config.settings import *  # noqa: E402, F403 - all of them, and only then

if "sqlite" in DATABASES["default"]["ENGINE"]:  # noqa: F405
    # A connection to a database in memory does not wait for the lock of another one: it fails.
    DATABASES["default"]["TEST"] = {"NAME": f"{_data_dir}/test.sqlite3"}  # noqa: F405
PASSWORD_HASHERS = ["tests.hasher.QuickArgon2"]
# Each test client would otherwise search all static files (60 ms); servers of tests serve them.
SERVESTATIC_USE_FINDERS = SERVESTATIC_USE_STATIC_ROOT = False
# Tests of single sign-on set OIDC.
INSTALLED_APPS = [*INSTALLED_APPS, "allauth.socialaccount.providers.openid_connect"]  # noqa: F405
