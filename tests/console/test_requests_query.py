"""The query language of the request search."""

from __future__ import annotations

import datetime as dt

import pytest

from console.pages.requests.query import State, Term, parse, with_term, without_term

NOW = dt.datetime(2026, 11, 21, 12, 0, tzinfo=dt.UTC)


def test_filters_and_text_are_parsed_separately():
    search = parse('status:!499 model:gpt-mini "blue sky" why', "24h", NOW)
    assert search.terms == (Term("status", ("499",), negated=True), Term("model", ("gpt-mini",)))
    assert search.text == '"blue sky" why'


def test_a_comma_means_any_of_them():
    assert parse("status:429,5xx", "24h", NOW).terms == (Term("status", ("429", "5xx")),)


def test_the_range_menu_counts_unless_a_time_is_typed():
    assert parse("", "1h", NOW).since == NOW - dt.timedelta(hours=1)
    assert parse("since:2d", "1h", NOW).since == NOW - dt.timedelta(days=2)
    assert parse("until:2026-11-01", "1h", NOW).since is None
    assert parse("", "all", NOW).since is None


@pytest.mark.parametrize(
    ("typed", "moment"),
    [
        ("90m", NOW - dt.timedelta(minutes=90)),
        ("2026-11-20", dt.datetime(2026, 11, 20, tzinfo=dt.UTC)),
        ("2026-11-20T10:00", dt.datetime(2026, 11, 20, 10, tzinfo=dt.UTC)),
        ("2026-11-20T10:00+02:00", dt.datetime(2026, 11, 20, 8, tzinfo=dt.UTC)),
    ],
)
def test_times_are_parsed(typed: str, moment: dt.datetime):
    assert parse(f"since:{typed}", "", NOW).since == moment


@pytest.mark.parametrize(
    "text", ["since:yesterday", "until:2026-99-99", "status:", "id:", "is:", "is:odd"]
)
def test_unknown_search_terms_are_named(text: str):
    assert parse(text, "24h", NOW).unrecognized == (text,)


@pytest.mark.parametrize("text", ["id:req_abc123", "req_abc123", "since:1h req_abc123 status:200"])
def test_a_search_by_id_covers_the_whole_log(text: str):
    search = parse(text, "1h", NOW)
    assert (search.id, search.since, search.terms) == ("req_abc123", None, ())


def test_a_filter_is_set_replaced_and_removed():
    text = with_term("sky status:200", "status", "!2xx")
    assert text == "sky status:!2xx"
    assert with_term(text, "status", "") == "sky"
    assert with_term("", "key", "my key") == 'key:"my key"'
    assert parse(with_term("", "key", "my key"), "", NOW).terms == (Term("key", ("my key",)),)


def test_a_chip_removes_only_its_own_filter():
    text = "status:!499 model:a sky"
    assert without_term(text, Term("status", ("499",), negated=True)) == "model:a sky"


def test_the_address_has_the_set_filters():
    assert State(q="status:!499", span="1h").address() == "q=status%3A%21499&range=1h"
    assert State(q="a", span="1h").address(q="", cursor=7) == "range=1h&cursor=7"


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("cost:>0.01", Term("cost", ("0.01",), op=">")),
        ("cost>=$2", Term("cost", ("$2",), op=">=")),
        ("latency:>2s", Term("latency", ("2s",), op=">")),
        ("tokens:<10k", Term("tokens", ("10k",), op="<")),
        ("tokens:500", Term("tokens", ("500",), op=">=")),
        ("status:>=500", Term("status", ("500",), op=">=")),
        ("dialect:gemini", Term("dialect", ("gemini",))),
        ("is:error", Term("outcome", ("ok",), negated=True)),
        ("is:!error", Term("outcome", ("ok",))),
    ],
)
def test_amounts_are_compared(text: str, term: Term):
    search = parse(text, "", NOW)
    assert (search.terms, search.text, search.unrecognized) == ((term,), "", ())
    assert without_term(f"{text} sky", term) == "sky"
    assert parse(str(term), "", NOW).terms == (term,)


@pytest.mark.parametrize(
    ("term", "amount"),
    [(("latency", "2s"), 2000), (("latency", "150ms"), 150), (("tokens", "10k"), 10_000)],
)
def test_amounts_are_in_the_unit_of_their_column(term: tuple[str, str], amount: int):
    assert Term(term[0], (term[1],), op=">").amount == amount


@pytest.mark.parametrize("text", ["foo:bar", "cost:>much", "latency:>2x", "model:>3", "is:odd"])
def test_an_unknown_filter_is_named_and_not_searched_for(text: str):
    search = parse(f"{text} sky", "", NOW)
    assert (search.unrecognized, search.text, search.terms) == ((text,), "sky", ())


@pytest.mark.parametrize("text", ["http://example.com", '"foo:bar"', "a<b", '{"a":1}'])
def test_text_with_a_colon_is_searched_for(text: str):
    search = parse(text, "", NOW)
    assert (search.unrecognized, search.text) == ((), text)
