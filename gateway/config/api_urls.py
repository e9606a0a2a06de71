"""URLs of the management API, with the routers of the console."""

from __future__ import annotations

from console.api import ROUTERS
from console.hashing import TooManyHashes
from gateway.api.app import api
from gateway.api.failures import unavailable
from gateway.compat.litellm.api.app import openapi_schema as litellm_document

api.mounted_schemas.append(litellm_document)
for router in ROUTERS:
    api.add_router("", router)
api.add_exception_handler(TooManyHashes, lambda _request, error: unavailable(str(error)))

urlpatterns, app_name, _namespace = api.urls
