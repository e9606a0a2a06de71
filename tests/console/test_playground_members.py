"""The playground for members: runs use one of their own gateway keys."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.browser.site import Site
from tests.console.test_playground_live import PATH, boot_document, document, run_document
from tests.console.test_playground_live import client as client_of
from tests.waits import wait_until

pytestmark = pytest.mark.e2e

PASSWORD = "correct horse battery"


@contextmanager
def member(site: Site, name: str) -> Iterator[httpx.Client]:
    """Create a member and sign them in by password."""
    values = {"username": name, "password": PASSWORD}
    with client_of(site) as admin_client:
        reply = admin_client.post("/console/users/add", data={**values, "role": "member"})
        assert reply.status_code == 302
    with httpx.Client(base_url=site.url, timeout=60, headers={"Origin": site.url}) as client:
        client.get("/console/sign-in")
        client.headers["X-CSRFToken"] = client.cookies["csrftoken"]
        assert client.post("/console/sign-in", data=values).status_code == 302
        client.headers["X-CSRFToken"] = client.cookies["csrftoken"]  # of the new session
        yield client


def new_key(client: httpx.Client, name: str, **values: Any) -> str:
    """Create a key as this user and return its secret."""
    reply = client.post("/console/personal/keys/add", data={"name": name, "days": "30", **values})
    assert reply.status_code == 200, reply.text
    return re.findall(r"sk-dgm-\w{54}", reply.text)[0]


def end_event(events: list[tuple[str, Any]]) -> Any:
    return next(data for kind, data in events if kind == "end")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    directory: Path = tmp_path_factory.mktemp("members")
    site = Site(directory, DRAGOMAN_PLAYGROUND_USD_PER_DAY="0").with_users().start()
    try:
        yield site
    finally:
        site.stop()


def test_a_member_without_a_key_sees_instructions(site: Site) -> None:
    with member(site, "nora") as nora:
        data = boot_document(nora)
        assert data["models"] == []
        assert "My keys" in data["notice"]
        reply = nora.post(f"{PATH}/runs", json=document("demo"))
        assert (reply.status_code, list(reply.json()["errors"])) == (400, ["key"])
        # Nothing of other people, and no stored prompts.
        assert nora.get(f"{PATH}/system-prompts").status_code == 403
        assert nora.get("/console/requests").status_code == 403
        assert "/console/evaluate" not in nora.get(PATH).text


def test_a_run_of_a_member_is_a_request_of_their_key(site: Site) -> None:
    """This also applies if the playground's own budget is zero."""
    with member(site, "mia") as member_client:
        site.wait_for_key(new_key(member_client, "laptop"))
        data = boot_document(member_client)
        assert "budget" not in data
        assert {"demo", "demo/demo-fast"} <= {model["id"] for model in data["models"]}
        run, events = run_document(member_client, document("demo/demo-fast", prompt="Who pays?"))
        end = end_event(events)
        assert end["status"] == "ok"
        path = f"/console/personal/requests/{end['request_id']}"
        wait_until(lambda: member_client.get(path).status_code == 200)
        page = member_client.get(path).text
        assert "laptop" in page and "Who pays?" in page
        # It opens again in the playground, and is nobody else's.
        assert boot_document(member_client, f"?request={end['request_id']}")["settings"]["messages"]
        with member(site, "otto") as other_member_client:
            site.wait_for_key(new_key(other_member_client, "desk"))
            assert (
                boot_document(other_member_client, f"?request={end['request_id']}")["settings"]
                is None
            )
            assert other_member_client.get(f"{PATH}/runs/{run}").status_code == 404


def test_a_key_limits_models_and_spend_of_its_runs(site: Site) -> None:
    with member(site, "lena") as lena:
        site.wait_for_key(new_key(lena, "only demo", routes=["demo"]))
        assert [model["id"] for model in boot_document(lena)["models"]] == ["demo"]
        _run, events = run_document(lena, document("demo/demo-fast"))
        assert end_event(events)["error_kind"] == "not_allowed"
        # Nor does the page show to whom such a request would have been sent.
        run = dict(events)["run"]["id"]
        reply = lena.get(f"{PATH}/runs/{run}/translation?col=A")
        assert (reply.status_code, list(reply.json()["errors"])) == (400, ["col"])
        # A second key: the page says which models each may call, and the run says which pays.
        site.wait_for_key(new_key(lena, "no money", month_usd="0"))
        models = {model["id"]: model["keys"] for model in boot_document(lena)["models"]}
        assert len(models["demo"]) == 2
        assert len(models["demo/demo-fast"]) == 1
        reply = lena.post(f"{PATH}/runs", json=document("demo"))
        assert (reply.status_code, list(reply.json()["errors"])) == (400, ["key"])
        (limited_model,) = models["demo/demo-fast"]
        (rich,) = set(models["demo"]) - {limited_model}
        assert end_event(run_document(lena, document("demo", key=rich))[1])["status"] == "ok"
        for foreign_key in (rich + 100, True, str(rich)):
            reply = lena.post(f"{PATH}/runs", json=document("demo", key=foreign_key))
            assert (reply.status_code, list(reply.json()["errors"])) == (400, ["key"])


def test_a_revoked_key_cannot_run(site: Site) -> None:
    with member(site, "rita") as rita:
        site.wait_for_key(new_key(rita, "old"))
        page = rita.get("/console/personal/keys").text
        (path,) = set(re.findall(r"/console/personal/keys/\d+/revoke", page))
        assert rita.post(path).status_code == 302
        reply = rita.post(f"{PATH}/runs", json=document("demo"))
        assert (reply.status_code, list(reply.json()["errors"])) == (400, ["key"])
