"""Names of a hundred and more characters do not overflow a page."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.browser.site import Site

LONG = "name-without-any-blank-" * 3 + "nameWithoutAnyHyphen" * 4
_ROWS = f"""
import json, time
from decimal import Decimal
from django.contrib.auth.models import User
from console.models import Evaluation
from gateway import store
from gateway.models import AlertChannel, Guardrail, Prompt, Team
from gateway.relay.exchange.log_record import LogRecord
from tests.store import factories

long = {LONG!r}
provider = factories.provider("p" + long[:60], "custom", base_url="http://127.0.0.1:9", dialect="openai_chat")
model = factories.model(long, provider, price_input="1.25", price_output="10")
factories.route("r" + long, model)
team = Team.objects.create(name="t" + long[:90], budget_month_usd=100)
key, _plain = store.create_key(long[:90], routes=["r" + long])
key.user = "u" + long[:90]
key.save()
Prompt.objects.create(name=long[:63], description=long).versions.create(
    number=1, messages=[{{"role": "user", "content": long}}])
Guardrail.objects.create(name=long[:63], kind="patterns")
AlertChannel.objects.create(name=long[:60], kind="webhook", credential="x")
User.objects.create_user("u" * 140)
document = {{"name": long, "models": [provider.name + "/" + long], "cases": [{{"name": long, "vars": {{"input": "x"}}}}]}}
owner = User.objects.get(username="admin")
evaluation = Evaluation.objects.create(owner=owner, name=long, case_count=1, document=document)
store.write([LogRecord(
    id=f"req_long_{{n}}", started_at=time.time() - n, endpoint="/v1/chat/completions",
    client_dialect="openai_chat", upstream_dialect="openai_chat", provider=provider.name, model=long,
    key_id=key.pk, key_prefix=key.prefix, route="r" + long, requested_model="r" + long, status=200,
    input_tokens=1234567, output_tokens=123456, duration_ms=123456.7, first_token_ms=12345.6,
    usage_source="reported", cost_usd=Decimal("123.456789"), charged_usd=Decimal("123.456789"),
) for n in range(5)])
print(json.dumps({{"route": "r" + long, "model": model.pk, "provider": provider.pk, "key": key.pk, "team": team.pk,
    "evaluation": evaluation.pk}}))
"""
PAGES = (
    "/console/",
    "/console/requests",
    "/console/requests/req_long_1",
    "/console/providers",
    "/console/providers/{provider}",
    "/console/models",
    "/console/models/{model}",
    "/console/models/{model}/doctor",
    "/console/providers/{provider}/doctor",
    "/console/routes",
    "/console/routes/{route}",
    "/console/keys",
    "/console/keys/{key}",
    "/console/teams",
    "/console/teams/{team}",
    "/console/usage",
    "/console/cost",
    "/console/health",
    "/console/playground",
    "/console/evaluate",
    "/console/evaluate/{evaluation}",
    "/console/users",
    "/console/connect",
    "/console/route-delete/{route}",
    "/console/providers/{provider}/delete",
    "/console/find?q=name",
    "/console/alerts",
    "/console/changes",
    "/console/evaluate/new",
    "/console/guardrails",
    "/console/keys/add",
    "/console/prompts",
    "/console/route-clients/{route}",
    "/console/route-versions/{route}",
    "/console/teams/add",
    "/console/usage?by=user",
    "/console/usage?by=key",
)
# What is wider than its place: the window, a table's frame, the list of requests.
_WIDE = """() => {
    const found = [];
    if (document.documentElement.scrollWidth > innerWidth) found.push("the page");
    for (const box of document.querySelectorAll("#main .table-wrap:not(details *), #main .req-list, #main .card, header.page-head")) {
        if (box.scrollWidth > box.clientWidth + 1) found.push(box.className);
    }
    for (const button of document.querySelectorAll(".page-head .btn")) {
        const at = button.getBoundingClientRect();
        if (!at.width) continue;
        const top = document.elementFromPoint(at.x + at.width / 2, at.y + at.height / 2);
        if (!button.contains(top)) found.push(`covered: ${button.textContent.trim()}`);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def names(site: Site) -> dict[str, Any]:
    """The values of `{names}` in paths."""
    return dict(json.loads(site.shell(_ROWS).strip().splitlines()[-1]))


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.wide(every=2)
def test_long_names_do_not_overflow_their_column(
    open_page: Callable[..., Any], names: dict[str, Any], width: int
) -> None:
    page = open_page("admin", size={"width": width, "height": 900})
    faults = {}
    for path in PAGES:
        assert page.goto(path.format(**names)).status == 200
        page.wait_for_timeout(250)
        if result := page.evaluate(_WIDE):
            faults[path] = result
    assert faults == {}
