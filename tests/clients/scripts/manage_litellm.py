"""LiteLLM's proxy client manages keys and reads models; prints the results as JSON."""

from __future__ import annotations

import json
import sys
import time

from litellm.proxy.client import Client
from litellm.proxy.client.exceptions import UnauthorizedError

url, master = sys.argv[1:3]
client = Client(base_url=url, api_key=master)
results = {"models": [row["id"] for row in client.models.list()]}
results["info"] = [row["model_name"] for row in client.models.info()]
results["groups"] = [row["model_group"] for row in client.model_groups.info()]
generated_key = client.keys.generate(models=["some"], key_alias="ci", duration="30d")
results["made"] = sorted(set(generated_key) & {"key", "token", "expires", "key_alias", "models"})
key_client = Client(base_url=url, api_key=generated_key["key"])
for _ in range(50):  # every process knows a new key within a second
    try:
        results["own"] = [row["id"] for row in key_client.models.list()]
        break
    except UnauthorizedError:
        time.sleep(0.1)
keys = client.keys.list(key_alias="ci", return_full_object=True)
results["listed"] = [key["key_alias"] for key in keys["keys"]]
results["deleted"] = client.keys.delete(key_aliases=["ci"])
try:
    client.keys.generate(budget_id="b")
except Exception as error:
    results["refused"] = getattr(error.response, "status_code", 0)
try:
    Client(base_url=url, api_key="sk-wrong").keys.list()
except Exception as error:
    results["unknown"] = type(error).__name__
print(json.dumps(results))
