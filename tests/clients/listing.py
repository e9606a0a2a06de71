"""Writes `docs/clients.md` from the table of clients: `python -m tests.clients.listing`."""

from __future__ import annotations

from pathlib import Path

from tests.clients.running import scenarios_of
from tests.clients.table import CLIENTS, NOT_SERVED, Client
from tests.clients.upstreams import UPSTREAMS

TARGET = Path(__file__).resolve().parent.parent.parent / "docs" / "clients.md"

_HEAD = """# Clients

Real clients on a live gateway, each in front of strict stand-ins for providers of several
dialects: {upstreams}. `URL` is the gateway's address without a trailing slash
(`http://localhost:4000`); the key is a gateway key, and the model is a route's name.

Verified are a whole answer (text), a streamed one (stream), two parallel tool calls and
their results (tools), and two turns of one conversation, each with a thought and a tool call
(thinking). Where a provider wants the state of a thought back with the tool's result, the
thinking scenario also checks that it got it, through whatever the client can carry or, where
it can carry nothing, through the gateway's memory.

Rows with packages are run by `uv run pytest -m frameworks`, which installs each apart from
the project (PyPI and npm, kept in `~/.cache/dragoman-tests`); the others in every test run.
This file is written by `python -m tests.clients.listing` from `tests/clients/table.py`.

| Client | Speaks | Base URL | Key | Verified | Packages | Notes |
|---|---|---|---|---|---|---|
"""
_TAIL = """
## Not served

| Client | Why, and what to do |
|---|---|
"""


def listing() -> str:
    """The document."""
    dialects = {name: upstream.model for name, upstream in UPSTREAMS.items()}
    told = ", ".join(f"{name} (`{model}`)" for name, model in dialects.items())
    rows = "\n".join(_row(client) for client in CLIENTS.values())
    refused = "\n".join(f"| {title} | {why} |" for title, why in NOT_SERVED.items())
    return _HEAD.format(upstreams=told) + rows + "\n" + _TAIL + refused + "\n"


def _row(client: Client) -> str:
    packages = " ".join(f"`{package}`" for package in (*client.packages, *client.modules))
    cells = (
        client.title,
        f"`{client.speaks}`",
        client.base,
        client.key,
        _verified(client),
        packages,
        " ".join((*(_known(client)), client.notes)).strip(),
    )
    return f"| {' | '.join(cells)} |"


def _verified(client: Client) -> str:
    """The scenarios, and where; upstreams with the same scenarios stand together."""
    groups: dict[tuple[str, ...], list[str]] = {}
    for upstream in client.upstreams:
        works = [s for s in scenarios_of(client, upstream) if f"{upstream} {s}" not in client.known]
        groups.setdefault(tuple(works), []).append(upstream)
    return "; ".join(f"{', '.join(works)} on {', '.join(on)}" for works, on in groups.items())


def _known(client: Client) -> list[str]:
    """What fails for a reason of the client's own, reasons named once."""
    reasons: dict[str, list[str]] = {}
    for where, why in client.known.items():
        reasons.setdefault(why, []).append(where)
    return [f"Not: {', '.join(where)} ({why})." for why, where in reasons.items()]


if __name__ == "__main__":
    TARGET.write_text(listing(), encoding="utf-8")
