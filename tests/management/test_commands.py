"""Functions of the management commands that need no database."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.utils import timezone

from gateway import cli
from gateway.management.commands.create_key import parse_expiry
from gateway.management.commands.probe import line, select_targets
from gateway.management.commands.routes import table
from gateway.routing.snapshot import Model, Provider, Route, Snapshot, Target
from gateway.simulate.probe import ProbeResult

ROOT = Path(cli.__file__).parents[1]


def snapshot(**routes: list[str]) -> Snapshot:
    provider = Provider(id=1, name="p", preset="custom", dialect="openai_chat", base_url="http://x")

    def target(name: str) -> Target:
        return Target(id=0, model=Model(id=0, provider=provider, name=name))

    return Snapshot(
        version=1,
        routes={
            name: Route(id=0, name=name, targets=tuple(map(target, models)))
            for name, models in routes.items()
        },
        providers={"p": provider},
        aliases={"quick": "fast"},
        wildcards=(("q*", "fast"), ("fast", "fast")),
    )


def test_the_routes_command_prints_a_table() -> None:
    lines = table(snapshot(fast=["a", "b"], slow=["c"]), {"fast": "file c.yaml:3"})
    assert [cells.split("  ")[0] for cells in lines] == ["ROUTE", "fast", "slow"]
    assert lines[1].split() == [
        "fast",
        "ordered",
        "p/a,",
        "p/b",
        "quick,",
        "q*",
        "file",
        "c.yaml:3",
    ]


def test_a_probe_calls_each_model_once() -> None:
    targets, patterns = select_targets(snapshot(fast=["a", "b"], slow=["b", "w-*"]), [])
    assert [target.model.name for target in targets] == ["a", "b"]
    assert patterns == ["p/w-*"]


def test_a_probe_takes_other_names_and_models_without_a_row() -> None:
    targets, _ = select_targets(snapshot(fast=["a"]), ["quick", "p/new"])
    assert [target.model.label for target in targets] == ["p/a", "p/new"]


def test_a_probe_of_an_unknown_route_is_refused() -> None:
    with pytest.raises(CommandError, match="there is no route `gone`"):
        select_targets(snapshot(fast=["a"]), ["gone"])


def test_the_probe_command_prints_a_failure_on_one_line() -> None:
    result = ProbeResult(target="p/a", ok=False, ms=12.3, detail="no\nsuch  key")
    assert line(result) == "failed  p/a  12 ms  no such key"


def test_the_probe_command_does_not_control_the_terminal() -> None:
    """A provider chooses its messages: one could clear the screen, or write into a title."""
    detail = "no \x1b[2J\x1b]0;x\x07\u202ekey"
    result = ProbeResult(target="p/a", ok=False, ms=12.3, detail=detail)
    assert line(result) == "failed  p/a  12 ms  no  [2J ]0;x  key"


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30d", dt.timedelta(days=30)),
        ("12h", dt.timedelta(hours=12)),
        ("4w", dt.timedelta(weeks=4)),
    ],
)
def test_a_key_expires_after_the_time_given(text: str, span: dt.timedelta) -> None:
    expiry = parse_expiry(text)
    assert expiry is not None
    assert abs(expiry - timezone.now() - span) < dt.timedelta(seconds=5)


def test_a_key_need_not_expire() -> None:
    assert parse_expiry("") is None


@pytest.mark.parametrize("text", ["0d", "30", "d", "-1d", "30y", "999999d"])
def test_a_lifetime_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(CommandError, match="such as 30d"):
        parse_expiry(text)


@pytest.mark.parametrize(
    ("argv", "directory", "remaining_arguments"),
    [
        (["up", "--data-dir", "here"], "here", ["up", "--data-dir", "here"]),
        (
            ["up", "--port", "1", "--data-dir=here"],
            "here",
            ["up", "--port", "1", "--data-dir=here"],
        ),
        (["up"], None, ["up"]),
        (["up", "--data-dir"], None, ["up", "--data-dir"]),
        (["check", "--data-dir", "here", "--deploy"], "here", ["check", "--deploy"]),
        (["create_key", "--data-dir=here", "ci"], "here", ["create_key", "ci"]),
        ([], None, []),
    ],
)
def test_the_data_directory_is_known_before_the_settings(
    argv: list[str],
    directory: str | None,
    remaining_arguments: list[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DRAGOMAN_DATA_DIR")
    arguments = ["manage.py", *argv]
    cli.set_data_dir(arguments)
    assert arguments == ["manage.py", *remaining_arguments]
    expected = str(tmp_path / directory) if directory else None
    assert os.environ.pop("DRAGOMAN_DATA_DIR", None) == expected


@pytest.mark.parametrize(
    ("level", "message"),
    [
        ("warning", ""),
        (
            "loud",
            "DRAGOMAN_LOG_LEVEL must be INFO or DEBUG or WARNING or ERROR or CRITICAL, not 'loud'",
        ),
    ],
)
def test_a_log_level_may_be_in_lower_case(tmp_path: Path, level: str, message: str) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        cwd=ROOT,
        env={
            **os.environ,
            "DRAGOMAN_DATA_DIR": str(tmp_path),
            "DRAGOMAN_LOG_LEVEL": level,
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == int(bool(message))
    assert done.stderr.strip() == (f"Configuration error: {message}" if message else "")
