"""Configuration and fixtures of all tests; under CI, a skipped test is a failure.

A test that needs a missing program or service is skipped with a message on how to install it.
"""

from __future__ import annotations

import datetime as dt
import functools
import gc
import os
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, settings

from gateway.models import RequestText
from gateway.relay.journal import journal
from gateway.store.snapshot import snapshot_of_version
from tests.waits import WAIT_TIMEOUT_S

# How fast examples come says how busy the machine is, not whether the code is right.
settings.register_profile(
    "tests", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("tests")

# By itself a client gives up after 5 s.
for name in ("connect", "read", "write", "pool"):
    setattr(httpx._config.DEFAULT_TIMEOUT_CONFIG, name, WAIT_TIMEOUT_S)

# A client reads the machine's certificates, for 30 ms: once is enough for those of all tests.
for client in (httpx, httpx2):
    transport = client._transports.default
    transport.create_ssl_context = functools.cache(transport.create_ssl_context)

# A row is written as it comes: hundreds of tests make one, and look for it in the log.
journal.FLUSH_S = 0.005

# Tests start hundreds of servers. Where the environment forbids bytecode, each of them would
# compile for seconds what the last one has compiled: theirs goes to pytest's cache instead.
if os.environ.pop("PYTHONDONTWRITEBYTECODE", ""):
    BYTECODE = Path(__file__).resolve().parent.parent / ".pytest_cache" / "bytecode"
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(BYTECODE))
    sys.pycache_prefix = os.environ["PYTHONPYCACHEPREFIX"]
    sys.dont_write_bytecode = False

# Where tests start servers, browsers and a whole run on PostgreSQL, or measure for long.
LONG = {
    *("bench", "browser", "clients", "e2e", "test_databases.py", "test_package.py"),
    *("backup/test_restore.py", "console/test_missing_sso.py", "console/test_roles.py"),
    *("dialects/test_scaling.py", "relay/test_loop_stalls.py", "relay/test_simulation.py"),
    *("store/test_batches.py", "store/test_both_databases.py", "store/test_log_export.py"),
    "store/test_usage.py",
}
# Of these, what runs without `--wide` and without a path: each SDK, the quick start, some pages.
EVERYDAY = {
    *("test_anthropic_sdk.py", "test_openai_sdk.py", "test_gemini.py", "test_ollama.py"),
    *("test_responses.py", "test_demo.py", "test_claude_code.py", "test_quick_start.py"),
    *("test_connect.py", "test_faults.py", "test_clouds.py", "test_light.py", "test_listing.py"),
    *("test_first_response.py", "test_pages.py", "test_sign_in.py"),
    "test_console_basics.py",
}

# It takes minutes: the first long file of a run.
SLOWEST = "test_pages.py"

TESTS = Path(__file__).resolve().parent
IN_CI = os.environ.get("CI", "").lower() in {"1", "true", "yes"}


@pytest.fixture
def member_user(db: None) -> Any:
    """A member with at most two keys of 30 days, the routes `a*` and $10 per month."""
    from django.contrib.auth.models import User

    from console import accounts

    user = accounts.create_account("mia", None, role="member")
    accounts.set_limits(user, max_keys=2, month_usd=Decimal(10), key_days=30, routes=["a*"])
    return User.objects.get(pk=user.pk)


@pytest.fixture
def frozen_now(monkeypatch: pytest.MonkeyPatch) -> dt.datetime:
    """The current time, frozen in the middle of an hour, day and month."""
    now = timezone.now().replace(hour=12, minute=30, second=15)
    now -= dt.timedelta(days=1 if now > timezone.now() else 0)
    monkeypatch.setattr(timezone, "now", lambda: now)
    return now


@pytest.fixture(autouse=True)
def _no_snapshot_of_another_test() -> None:
    """A test's database has the versions of the one before."""
    snapshot_of_version.cache_clear()


@pytest.fixture(autouse=True)
def _empty_search_index(request: pytest.FixtureRequest) -> Iterator[None]:
    """Empty the full-text index, which Django's flush after a test does not know."""
    marked = request.node.get_closest_marker("django_db")
    if marked is None or not marked.kwargs.get("transaction"):
        yield
        return
    request.getfixturevalue("transactional_db")
    yield
    RequestText.objects.all().delete()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option `--wide`."""
    parser.addoption(
        "--wide", action="store_true", help="run every row of the tests that are marked `wide`"
    )


def is_long(path: Path) -> bool:
    """Return whether a file is in LONG or in a folder of LONG."""
    name = path.relative_to(TESTS)
    return name.as_posix() in LONG or name.parts[0] in LONG


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Return the number of cores plus one, because many tests wait for a socket."""
    return (os.cpu_count() or 1) + 1


def deselect_rows(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect rows of `wide` tests, tests of LONG that are not in EVERYDAY, and some examples.

    A `wide` test runs each n-th row as its mark says, or none for 0. `--wide`, `-k` and `-m` run
    all tests that they select; so does a path, except for the rows of `wide` tests.
    """
    if any(config.getoption(name) for name in ("--wide", "keyword", "markexpr")):
        return
    runs_all_tests = {Path(argument).resolve() for argument in config.args} == {TESTS}
    if runs_all_tests:
        reduce_examples(items)
    rows: dict[str, int] = {}
    deselected = []
    for item in items:
        if runs_all_tests and is_long(item.path) and item.path.name not in EVERYDAY:
            deselected.append(item)
            continue
        mark = item.get_closest_marker("wide")
        if mark is None:
            continue
        test, every = item.nodeid.partition("[")[0], mark.kwargs["every"]
        rows[test] = rows.get(test, -1) + 1
        if not every or rows[test] % every:
            deselected.append(item)
    if deselected:
        config.hook.pytest_deselected(items=deselected)
        removed = set(map(id, deselected))
        items[:] = [item for item in items if id(item) not in removed]


def pytest_configure(config: pytest.Config) -> None:
    """Keep xdist's order: by default it starts with the files of the most tests, the quick ones."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[Any]:
    """Turn the garbage collector off while modules are imported, and exclude the items from it.

    Nothing of them is garbage before the end, but each full collection would read all of it.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def reduce_examples(items: list[pytest.Item]) -> None:
    """Let each property test run a third of its examples: the first ones of all."""
    for test in {item.function for item in items if isinstance(item, pytest.Function)}:
        # Hypothesis has no public way to change the settings of a test.
        if chosen := getattr(test, "_hypothesis_internal_use_settings", None):
            fewer = max(chosen.max_examples // 3, 10)
            test._hypothesis_internal_use_settings = settings(chosen, max_examples=fewer)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Distribute the long files over the run, the slowest first and none of them at the end.

    A long file at the end would keep one worker busy while the others are idle.
    """
    deselect_rows(config, items)
    if not hasattr(config, "workerinput"):
        return
    files = dict.fromkeys(item.path for item in items)
    order: dict[Path, float] = {}
    files = dict.fromkeys(sorted(files, key=lambda path: path.name != SLOWEST))
    for long, end in ((True, 0.6), (False, 1.0)):
        of = [path for path in files if is_long(path) is long]
        order |= {path: end * number / len(of) for number, path in enumerate(of)}
    items.sort(key=lambda item: order[item.path])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Iterator[Any]:
    """Apply the CI rule to a test that skips itself."""
    return _fail_skipped_in_ci((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Iterator[Any]:
    """Apply the CI rule to a module that skips itself."""
    return _fail_skipped_in_ci((yield))


def _fail_skipped_in_ci(report: Any) -> Any:
    if IN_CI and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.outcome = "failed"
        report.longrepr = f"under CI nothing may be missing: {reason}"
    return report
