"""The price snapshot: parsed correctly, equal to its source, fast."""

from __future__ import annotations

import sys
from datetime import UTC, date, datetime, time
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import run
from typing import Any

import pytest

from gateway.management.price_table import PRICES, table
from gateway.providers.catalog import PRESETS
from gateway.providers.prices import FILE, context_window, price_book, price_for
from gateway.providers.profile import RATES, Price

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("preset", "model", "usd"),
    [
        ("openai", "gpt-4o", ("2.5", "10", "1.25", None)),
        ("openai", "gpt-4o-2024-08-06", ("2.5", "10", "1.25", None)),
        ("anthropic", "claude-opus-5-5", ("4", "20", "0.2", "5")),
        ("anthropic", "claude-sonnet-4-5-20250929", ("3", "15", "0.3", "3.75")),
        ("deepseek", "deepseek-v4-pro", ("0.66", "1.98", "0.022", None)),
        ("azure_openai", "gpt-4o", ("2.5", "10", "1.25", None)),
        ("openrouter", "anthropic/claude-opus-4.5", ("5", "25", "0.5", "6.25")),
    ],
)
def test_a_known_model_has_its_list_price(
    preset: str, model: str, usd: tuple[str | None, ...]
) -> None:
    price = price_for(preset, model)
    listed_prices = (price.input, price.output, price.cache_read, price.cache_write)
    assert listed_prices == tuple(None if text is None else Decimal(text) for text in usd)


def test_a_price_has_its_source() -> None:
    assert price_for("openai", "gpt-4o").source == price_book().source


def test_a_long_prompt_has_the_prices_of_long_prompts() -> None:
    price = price_for("anthropic", "claude-sonnet-4-5")
    ((tokens, long),) = price.above
    assert (tokens, price.input, long.input, long.output) == (200_000, 3, 6, Decimal("22.5"))


def test_audio_has_its_own_price() -> None:
    assert price_for("gemini", "gemini-2.5-flash").input_audio == 1


def test_the_source_of_a_price_by_the_hour_names_the_hours() -> None:
    assert "hours" in price_for("deepseek", "deepseek-v4-pro").source


@pytest.mark.parametrize(
    ("preset", "model"),
    [
        ("openai", "no-such-model"),
        ("ollama", "gpt-oss:120b-cloud"),
        ("custom", "gpt-4o"),
        ("nobody", "gpt-4o"),
        ("openai", ""),
    ],
)
def test_an_unknown_price_is_not_zero(preset: str, model: str) -> None:
    assert price_for(preset, model) == Price()


def test_a_date_without_dashes_is_the_same_date() -> None:
    assert price_for("openrouter", "openai/gpt-4o-20240806") != Price()


def test_the_context_window_is_imported_too() -> None:
    assert context_window("openai", "gpt-5.4") == 1_050_000
    assert context_window("openai", "no-such-model") is None


def test_reading_prices_needs_no_heavy_package() -> None:
    code = (
        "import sys; from gateway.providers.prices import price_for; "
        "price_for('openai', 'gpt-4o'); print('genai_prices' in sys.modules)"
    )
    done = run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def installed_version() -> str:
    """Return the installed version of genai-prices; empty if not installed."""
    try:
        return version("genai-prices")
    except PackageNotFoundError:
        return ""


def price_source() -> Any:
    """Return genai-prices' providers by id, if its version is that of the snapshot."""
    if price_book().source != f"genai-prices {installed_version()}":
        pytest.skip("another version of genai-prices is installed")
    from genai_prices.data import providers

    return {provider.id: provider for provider in providers}


def test_the_snapshot_equals_its_source() -> None:
    names = {preset.prices for preset in PRESETS.values() if preset.prices}
    day = date.fromisoformat(price_book().fetched_on)
    assert table(price_source().values(), names, price_book().source, day) == FILE.read_text(
        encoding="utf-8"
    )


@pytest.mark.parametrize("preset", ["openai", "anthropic", "mistral", "groq", "together", "xai"])
def test_prices_are_those_that_the_source_computes(preset: str) -> None:
    """Compared with genai-prices' own lookup of each model, at noon of the snapshot's day."""
    provider = price_source()[PRESETS[preset].prices]
    noon = datetime.combine(date.fromisoformat(price_book().fetched_on), time(12), tzinfo=UTC)
    for model in provider.models:
        if not model.is_match(model.id):
            continue
        prices = provider.find_model(model.id).get_prices(noon)
        bases = [_base(getattr(prices, name, None)) for name in PRICES]
        if bases[0] is None and bases[1] is None:
            continue
        price = price_for(preset, model.id)
        assert [getattr(price, rate) for rate in RATES] == bases, model.id


def _base(price: Any) -> Any:
    return getattr(price, "base", price)


@pytest.mark.parametrize(
    ("preset", "model"), [("ollama", "llama3.1"), ("demo", "demo"), ("vllm", "x")]
)
def test_local_models_are_free(preset: str, model: str):
    price = price_for(preset, model)
    assert (price.input, price.output) == (0, 0)
    assert price.source
