"""Pages and scripts format numbers and dates with the same text."""

from __future__ import annotations

import datetime as dt
import json
import shutil
import subprocess
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from console.templatetags import registry, ui

SCRIPT = Path(__file__).resolve().parents[2] / "static" / "js" / "format.js"
NODE = shutil.which("node")
MOMENT = dt.datetime(2026, 11, 2, 9, 5, 59, tzinfo=dt.UTC)
# fmt: off
VALUES: dict[str, list[Any]] = {
    "ms": [
        0, 0.04, 3.25, 9.94, 9.95, 24, 99.4, 99.5, 712, 994, 1270, 9994, 9995, 12_345, 99_949,
        99_950, 184_000, 3_599_400, 3_599_500, 3_600_000, 11_500_000, 180_000_000, None,
    ],
    "usd": [
        "0", "0.00000027", "0.000027", "0.00996", "0.0125", "0.0994", "0.1", "0.3", "2.5", "9.999",
        "1234.5", "-0.03", "-12",
    ],
    "tokens": [0, 991, 9999, 10_000, 18_449, 99_949, 99_950, 999_499, 999_500, 2_100_000,
               999_499_999, 3_200_000_000, None],
    "count": [0, 7, 12_345, 1_000_000, None],
    "price": ["0", "3", "0.125", "0.3", "1.10000000", "0.00000003", "1500", None],
    "percent": [0, 0.004, 0.034, 0.0994, 0.1, 0.666, 0.97, 1, None],
}
# fmt: on
TEXTS = {
    ("ms", 712): "0.71 s",
    ("ms", 184_000): "3 min 4 s",
    ("ms", 3_599_500): "1 h 0 min",
    ("ms", 11_500_000): "3 h 11 min",
    ("usd", "0.000027"): "$0.000027",
    ("usd", "0.3"): "$0.30",
    ("usd", "1234.5"): "$1,234.50",
    ("tokens", 18_449): "18.4k",
    ("percent", 0.034): "3.4 %",
}


def from_pages(name: str) -> list[str]:
    """Return the texts of the template filter."""
    values = [Decimal(v) if isinstance(v, str) else v for v in VALUES[name]]
    return [getattr(registry if name == "price" else ui, name)(value) for value in values]


@pytest.mark.parametrize(("name", "value"), TEXTS, ids=lambda part: str(part))
def test_a_filter_formats_a_value(name: str, value: Any) -> None:
    texts = dict(zip(VALUES[name], from_pages(name), strict=True))
    assert texts[value] == TEXTS[name, value]


@pytest.mark.parametrize(
    ("text", "html"),
    [
        (
            "sent as `_raw`; `<b>` is not",
            "sent as <code>_raw</code>; <code>&lt;b&gt;</code> is not",
        ),
        ("<i> & ` alone", "&lt;i&gt; &amp; ` alone"),
        (None, ""),
    ],
)
def test_with_code_formats_backticks(text: str | None, html: str) -> None:
    assert ui.with_code(text) == html


def test_dates_have_one_format() -> None:
    assert ui.day(MOMENT) == ui.day(MOMENT.date()) == "2 Nov 2026"
    assert ui.date_time(MOMENT) == "2 Nov 2026, 09:05"
    assert ">2 Nov 2026, 09:05:59<" in ui.timestamp(MOMENT)


def test_the_day_of_a_moment_is_the_local_one() -> None:
    """A key that expires at 08:13 in Tokyo expired a day earlier in the list than in its form."""
    evening = dt.datetime(2026, 12, 24, 23, 13, tzinfo=dt.UTC)
    with timezone.override("Asia/Tokyo"):
        assert ui.day(evening) == "25 Dec 2026"
        assert ui.day(evening.date()) == "24 Dec 2026"


@pytest.mark.skipif(NODE is None, reason="needs Node: apt-get install nodejs")
def test_scripts_format_like_pages(tmp_path: Path) -> None:
    shutil.copy(SCRIPT, tmp_path / "format.mjs")
    (tmp_path / "print.mjs").write_text(
        'globalThis.document = { documentElement: { lang: "en" } };\n'
        'const format = await import("./format.mjs");\n'
        f"const values = {json.dumps(VALUES)};\n"
        f"const texts = {{ dateTime: [format.dateTime({json.dumps(MOMENT.isoformat())})] }};\n"
        "for (const name in values) texts[name] = values[name].map(format[name]);\n"
        "console.log(JSON.stringify(texts));\n"
    )
    command = [str(NODE), str(tmp_path / "print.mjs")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    texts = json.loads(done.stdout)
    assert texts.pop("dateTime") == [ui.date_time(MOMENT)]
    assert texts == {name: from_pages(name) for name in VALUES}


@pytest.mark.parametrize("language", ["de-DE,de;q=0.9", "en-GB"])
def test_pages_are_in_one_language(admin_client: Client, language: str) -> None:
    """Django and allauth translate some words, such as "Key" and "Clear"."""
    page = admin_client.get("/console/requests", headers={"accept-language": language})
    text = page.content.decode()
    assert '<html lang="en" ' in text
    assert "Schlüssel" not in text
