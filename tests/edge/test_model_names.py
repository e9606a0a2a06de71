"""A model name selects a route, a price and a limit, and never changes a URL's path."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import httpx
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gateway.canon import model_names
from gateway.canon.errors import GatewayError
from gateway.dialects import DIALECTS
from gateway.edge.admission import find_route
from gateway.providers import passthrough_catalog
from gateway.providers.catalog import PRESETS
from gateway.providers.profile import Price
from gateway.relay.run import embeddings, playground_calls
from gateway.relay.translate import prepare
from gateway.relay.upstream.client import join_url
from gateway.routing.snapshot import ApiKey, Model, Provider, Snapshot, Target, model_of
from tests.relay.harness import ADMIN, completion, gateway, provider, route, snapshot

LEGITIMATE = [
    "meta-llama/Llama-3.1-8B",
    "anthropic.claude-3-5-sonnet-20241022-v2:0",
    "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.anthropic.claude-sonnet-4-v1:0",
    "models/gemini-2.5-flash",
    "tunedModels/mine-123",
    "accounts/fireworks/models/llama-v3p1-8b-instruct",
    "ft:gpt-4o-2024-08-06:org::id",
    "@cf/meta/llama-3.1-8b-instruct",
    "hf.co/bartowski/Llama-3.2-3B-Instruct-GGUF:Q4_K_M",
    "my deployment (eu)",
    "claude-sonnet-4@20250514",
    "模型-一",
    "gpt-4o...mini",
]
HOSTILE = [
    "../files/import?x=",
    "gpt-4o-mini/../../../fine_tuning/jobs?x=",
    "x#",
    "gpt-4o/.",
    "./gpt-4o",
    "gpt-4o//",
    "gpt-4o/",
    "/gpt-4o",
    "a/%2e%2e/b",
    "a%2fb",
    "a\\..\\b",
    "a\nb",
    "a\x00b",
    "a\u200bb",
    "a\u2028b",
    " gpt-4o",
    "gpt-4o ",
    "x" * 257,
]
# Pieces of which names are made: what a URL parser knows, and ordinary text.
PIECES = st.sampled_from(
    [".", "..", "/", "//", "?", "#", "%", "%2e", "%2F", "\\", ":", "@", ";", "&", "=", " ", "\t"]
    + ["\n", "\x7f", "é", "．．", "gpt-4o-mini", "models", "tunedModels", "files", "import", "x=1"]
)
NAMES = st.one_of(st.lists(PIECES, max_size=8).map("".join), st.text(max_size=20))


@pytest.mark.parametrize("name", LEGITIMATE)
def test_a_legitimate_model_name_is_valid(name: str) -> None:
    assert model_names.find_name_fault(name) is None


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_model_name_is_invalid(name: str) -> None:
    assert model_names.find_name_fault(name)


def _templates() -> list[tuple[str, str, str]]:
    """Return preset, verb and path prefix of each path that contains the model name."""
    rows = []
    for name, preset in PRESETS.items():
        paths = {**passthrough_catalog.PASSTHROUGH_PATHS.get(name, {}), **preset.paths}
        rows += [
            (name, verb, template.partition("{model}")[0])
            for verb, template in paths.items()
            if "{model}" in template
        ]
        if preset.dialect == "gemini" and not preset.paths:
            starts = ("generate", "stream", "count_tokens", "embed")
            rows += [(name, verb, "/v1beta/") for verb in starts]
        if preset.dialect == "bedrock_converse":
            rows += [(name, verb, "/model/") for verb in ("generate", "stream", "count_tokens")]
    return rows


TEMPLATES = _templates()


def _path(preset: str, verb: str, name: str) -> tuple[Provider, str]:
    row = PRESETS[preset]
    provider_row = Provider(
        id=1,
        name="p",
        preset=preset,
        dialect=row.dialect,
        base_url="https://upstream.test/base",
        paths=row.paths,
    )
    target = Target(id=0, model=model_of(provider_row, name))
    if verb == "embed" or verb == "embed_content":
        return provider_row, embeddings.url_path(embeddings.embed_adapter(provider_row), target)
    if verb in passthrough_catalog.PASSTHROUGH_PATHS.get(preset, {}):
        template = passthrough_catalog.family_path(preset, row.paths, verb)
        assert template is not None
        return provider_row, model_names.expand_path_template(template, name)
    if verb in ("generate", "stream", "count_tokens"):
        verb_name: Any = "generate" if verb == "stream" else verb
        return provider_row, prepare.url_path(
            DIALECTS[row.dialect], target, stream=verb == "stream", verb=verb_name
        )
    return provider_row, model_names.expand_path_template(row.paths[verb], name)


def test_each_provider_with_the_model_in_its_path_is_tried() -> None:
    assert {preset for preset, _, _ in TEMPLATES} >= {
        "azure_openai",
        "gemini",
        "vertex",
        "vertex-anthropic",
        "bedrock",
    }


@settings(max_examples=40)
@given(name=NAMES)
@example("../files/import?x=")
@example("files/../../x")
@example("a/b:batchEmbedContents")
def test_a_model_name_cannot_escape_a_providers_path_template(name: str) -> None:
    """The path always has exactly one more segment, or the name is refused."""
    escaped = []
    for preset, verb, start in TEMPLATES:
        provider_row, path = _path(preset, verb, name)
        try:
            url = join_url(provider_row.base_url, path)
        except (GatewayError, httpx.InvalidURL):
            continue
        _, plain = _path(preset, verb, "plain")
        raw = url.raw_path.decode().partition("?")[0]
        expected = ("/base" + plain.partition("?")[0]).count("/")
        if not raw.startswith(f"/base{start}") or raw.count("/") != expected:
            escaped.append((preset, verb, raw))
        elif (
            url.host != "upstream.test" or url.query != join_url(provider_row.base_url, plain).query
        ):
            escaped.append((preset, verb, str(url)))
    assert escaped == []


AZURE = PRESETS["azure_openai"]


def _azure(name: str = "az") -> Provider:
    return provider(name, preset="azure_openai", paths=AZURE.paths)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"model": "{}", "messages": [{"role": "user", "content": "x"}]}),
        ("/v1/messages", {"model": "{}", "max_tokens": 9, "messages": []}),
        ("/v1/messages/count_tokens", {"model": "{}", "messages": []}),
        ("/v1/responses", {"model": "{}", "input": "x"}),
        ("/v1/completions", {"model": "{}", "prompt": "x"}),
        ("/v1/embeddings", {"model": "{}", "input": "x"}),
        ("/api/chat", {"model": "{}", "messages": []}),
        ("/api/embed", {"model": "{}", "input": "x"}),
        ("/api/show", {"model": "{}"}),
        ("/v1/images/generations", {"model": "{}", "prompt": "x"}),
        ("/v1/rerank", {"model": "{}", "query": "x", "documents": ["x"]}),
        ("/v1beta/models/{}:generateContent", {"contents": []}),
        ("/v1beta/models/{}:embedContent", {"content": {"parts": [{"text": "x"}]}}),
    ],
)
async def test_each_endpoint_refuses_a_hostile_model_name(
    tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    async with gateway(tmp_path, snapshot(route("r", _azure()))) as gw:
        responses = {}
        for name in HOSTILE:
            model_name = f"az/{name}"
            content = {k: model_name if v == "{}" else v for k, v in body.items()}
            reply = await gw.post(path.replace("{}", model_name), content)
            responses[name] = reply.status
        # Some of them make another path of the URL, at which there is nothing.
        refused_statuses = {400, 404, 405} if "{}" in path else {400}
        assert set(responses.values()) <= refused_statuses, responses
        assert gw.upstreams.requests == []


def _form(model: str) -> bytes:
    part = f'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\n{model}\r\n'
    file = '--b\r\ncontent-disposition: form-data; name="file"; filename="a.wav"\r\n\r\nx\r\n--b--'
    return (part + file).encode()


async def test_a_form_refuses_a_hostile_model_name(tmp_path: Path) -> None:
    headers = {"content-type": "multipart/form-data; boundary=b"}
    async with gateway(tmp_path, snapshot(route("r", _azure()))) as gw:
        for name in HOSTILE:
            if "\n" not in name:
                reply = await gw.post(
                    "/v1/audio/transcriptions", _form(f"az/{name}"), headers=headers
                )
                assert reply.status == 400, name
        assert gw.upstreams.requests == []


async def test_a_batch_refuses_a_hostile_model_name(tmp_path: Path) -> None:
    line = {"params": {"model": "az/../x", "max_tokens": 9, "messages": []}, "custom_id": "1"}
    async with gateway(tmp_path, snapshot(route("r", _azure()))) as gw:
        reply = await gw.post("/v1/messages/batches", {"requests": [line]})
        assert reply.status == 400
        assert gw.upstreams.requests == []


async def test_the_playground_refuses_a_hostile_name(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("r", _azure()))) as gw:
        body = {"model": "az/gpt-4o/../x", "messages": [{"role": "user", "content": "x"}]}
        record = await playground_calls.run_playground_call(
            gw.runtime,
            dialect="openai_chat",
            body=json.dumps(body).encode(),
            caller="playground",
        )
        assert record.status == 400
        assert gw.upstreams.requests == []


async def test_a_name_in_a_path_is_one_encoded_segment(tmp_path: Path) -> None:
    async with gateway(tmp_path, snapshot(route("r", _azure())), az=lambda _: completion()) as gw:
        body = {"model": "az/my team/gpt: 4o", "messages": [{"role": "user", "content": "x"}]}
        assert (await gw.post("/v1/chat/completions", body)).status == 200
        upstream_path = gw.upstreams.requests[-1].url.raw_path
        assert upstream_path.startswith(
            b"/openai/deployments/my%20team%2Fgpt%3A%204o/chat/completions"
        )


# --- one model, one name ------------------------------------------------------------------


def _with_row(provider_row: Provider, name: str) -> Snapshot:
    row = Model(
        id=7, provider=provider_row, name=name, price=Price(input=Decimal(7), output=Decimal(7))
    )
    return msgspec.structs.replace(snapshot(route("r", provider_row)), models={row.label: row})


@pytest.mark.parametrize(
    "name", ["az/gpt-4o", "az/GPT-4O", "az/gpt-4o:latest", "az/models/gpt-4o", "azure/gpt-4o"]
)
def test_each_spelling_of_a_model_name_has_its_price(name: str) -> None:
    provider_row = _azure("azure_openai" if name.startswith("azure/") else "az")
    test_route = find_route(_with_row(provider_row, "gpt-4o"), None, name)
    assert test_route.name == f"{provider_row.name}/gpt-4o"
    assert test_route.targets[0].model.id == 7


def test_models_that_differ_only_in_case_stay_apart() -> None:
    provider_row = _azure()
    rows = [Model(id=n, provider=provider_row, name=name) for n, name in ((1, "m"), (2, "M"))]
    registry = msgspec.structs.replace(
        snapshot(route("r", provider_row)), models={row.label: row for row in rows}
    )
    assert [find_route(registry, None, f"az/{n}").targets[0].model.id for n in "mM"] == [1, 2]


def test_a_keys_rule_does_not_match_a_removed_name_prefix() -> None:
    provider_row = provider("openai", preset="openai")
    key = ApiKey(id=1, prefix="k", name="k", digest=b"", routes=("openai/chat*",))
    with pytest.raises(GatewayError) as failure:
        find_route(snapshot(route("r", provider_row)), key, "openai/chat/gpt-5-pro")
    assert failure.value.error.kind == "not_allowed"


def test_a_keys_model_rule_may_use_a_provider_alias() -> None:
    provider_row = provider("azure_openai", preset="azure_openai")
    key = ApiKey(id=1, prefix="k", name="k", digest=b"", routes=("azure/gpt-4o",))
    registry = snapshot(route("r", provider_row))
    assert find_route(registry, key, "azure/gpt-4o").name == "azure_openai/gpt-4o"


def test_a_wildcard_makes_no_unsafe_name() -> None:
    provider_row = _azure()
    registry = snapshot(
        route("star", provider_row, model="*"), wildcards=(("pre*", "star"), ("other-*", "star"))
    )
    assert registry.route("pre/x") is None
    test_route = registry.route("other-x")
    assert test_route is not None
    assert test_route.targets[0].model.name == "x"


# --- through the edge ---------------------------------------------------------------------


@settings(max_examples=60)
@given(names=st.lists(NAMES, min_size=8, max_size=8))
async def test_no_model_name_escapes_its_upstream_path_or_causes_a_500(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    registry = snapshot(route("r", _azure()), wildcards=(("gpt-4o-mini*", "r"),))
    path = tmp_path_factory.mktemp("names")
    async with gateway(path, registry, az=lambda _: completion()) as gw:
        for name in names:
            body = {"model": f"az/{name}", "messages": [{"role": "user", "content": "x"}]}
            reply = await gw.post("/v1/chat/completions", body)
            assert reply.status in {200, 400, 404}, name
            if reply.status != 200:
                continue
            raw = gw.upstreams.requests[-1].url.raw_path.decode().partition("?")[0]
            before, after = raw.removeprefix("/openai/deployments/").split("/", 1)
            assert after == "chat/completions"
            assert unquote(before) == model_names.normalize_model_name(name)


# --- what else of a URL a client may choose --------------------------------------------------


def _with_version(name: str = "az") -> Provider:
    return msgspec.structs.replace(_azure(name), query=(("api-version", "2024-10-21"),))


@pytest.mark.parametrize("version", ["api-version=2099-01-01-preview", "API-Version=x", "key=sk-1"])
async def test_a_client_does_not_choose_the_providers_parameters(
    tmp_path: Path, version: str
) -> None:
    body = {"model": "r", "messages": [{"role": "user", "content": "x"}]}
    async with gateway(
        tmp_path, snapshot(route("r", _with_version())), az=lambda _: completion()
    ) as gw:
        reply = await gw.post(f"/v1/chat/completions?{version}&beta=true", body)
        assert reply.status == 200
        image = {"model": "r", "prompt": "x"}
        await gw.post(f"/v1/images/generations?{version}&beta=true", image)
        upstream_params = [dict(request.url.params) for request in gw.upstreams.requests]
        assert upstream_params == [{"beta": "true", "api-version": "2024-10-21"}] * 2


@pytest.mark.parametrize("id_", ["..", ".", "...", "..%2f", "a/../b"])
async def test_a_resource_id_cannot_escape_its_path(tmp_path: Path, id_: str) -> None:
    target_provider = provider("up")
    async with gateway(
        tmp_path, snapshot(route("r", target_provider), open=True), up=lambda _: completion()
    ) as gw:
        for end in ("", "/content"):
            reply = await gw.post(f"/v1/files/{id_}{end}", b"", method="GET", key=ADMIN)
            assert reply.status == 404
        assert gw.upstreams.requests == []
