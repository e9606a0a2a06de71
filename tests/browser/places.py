"""Every page of the console, for the tests that hold for all of them and for the screenshots."""

from __future__ import annotations

from typing import NamedTuple


class Place(NamedTuple):
    """A page: a name for its pictures, where it is, and who may see it.

    `{request}` in a path stands for the newest request of the log.
    """

    name: str
    path: str
    who: str | None = "ada"


PLACES = (
    Place("sign-in", "/console/sign-in", None),
    Place("overview", "/console/"),
    Place("playground", "/console/playground"),
    Place("requests", "/console/requests"),
    Place("request", "/console/requests/{request}"),
    Place("providers", "/console/providers"),
    Place("provider-add", "/console/providers/add"),
    Place("models", "/console/models"),
    Place("doctor", "/console/models/1/doctor"),
    Place("provider-doctor", "/console/providers/1/doctor"),
    Place("routes", "/console/routes"),
    Place("route", "/console/routes/demo"),
    Place("keys", "/console/keys"),
    Place("key-add", "/console/keys/add"),
    Place("usage", "/console/usage"),
    Place("cost", "/console/cost"),
    Place("prices", "/console/cost/prices"),
    Place("health", "/console/health"),
    Place("users", "/console/users"),
    Place("changes", "/console/changes"),
    Place("settings", "/console/settings"),
    Place("connect", "/console/connect"),
    Place("import", "/console/import"),
    Place("password", "/console/password"),
    Place("refused", "/console/users", "vic"),
)
