"""Reads the tables of a LiteLLM database, in one read-only transaction."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import msgspec

Row = dict[str, Any]

# Tables that are read completely. Tables and columns that a database lacks are empty.
_TABLES = (
    "BudgetTable",
    "OrganizationTable",
    "TeamTable",
    "ProjectTable",
    "UserTable",
    "EndUserTable",
    "TeamMembership",
    "VerificationToken",
    "DeprecatedVerificationToken",
    "CredentialsTable",
    "ProxyModelTable",
    "AccessGroupTable",
    "ModelTable",
    "Config",
)
# Tables of which only the number of rows is reported -> a description of their content.
UNIMPORTED_TABLES = {
    "DailyTagSpend": "spend by tag",
    "DailyEndUserSpend": "spend by end user",
    "SpendLogs": "the log of requests",
    "GuardrailsTable": "guardrails",
    "PolicyTable": "policies",
    "PromptTable": "prompts",
    "MCPServerTable": "MCP servers",
    "AgentsTable": "agents",
    "ManagedVectorStoresTable": "vector stores",
    "SearchToolsTable": "search tools",
    "TagTable": "budgets and models of tags",
    "ModelAccessGroupBudgetTable": "budgets of access groups",
    "JWTKeyMapping": "keys of JWT claims",
    "SSOConfig": "single sign-on",
}
_USAGE = "DailyUserSpend"
_SUMS = (
    "prompt_tokens",
    "completion_tokens",
    "cache_read_input_tokens",
    "cache_creation_input_tokens",
    "spend",
    "api_requests",
    "successful_requests",
    "failed_requests",
)
_NAMES = ("date", "api_key", "model_group", "model", "custom_llm_provider")
_STATEMENT_MS = 600_000
_CONNECT_S = 15


class SourceError(ValueError):
    """The database cannot be read; the message names the remedy, and no password."""


class Tables(msgspec.Struct, kw_only=True):
    """The rows of a LiteLLM database by table, without the prefix `LiteLLM_`.

    `usage` has sums by day, key, model and provider; `counts` numbers of rows.
    """

    rows: dict[str, list[Row]] = {}
    usage: list[Row] = []
    counts: dict[str, int] = {}

    def rows_of(self, table: str) -> list[Row]:
        """The rows of a table."""
        return self.rows.get(table, [])

    def rows_by_key(self, table: str, column: str) -> dict[str, Row]:
        """The rows of a table by their key column."""
        return {row[column]: row for row in self.rows_of(table)}


def read_tables(url: str) -> Tables:
    """Read a LiteLLM database. Raises SourceError."""
    try:
        import psycopg
        from psycopg.rows import dict_row
    except ImportError:
        raise SourceError("PostgreSQL needs the extra `postgres`: dragoman[postgres]") from None
    dsn, schema = split_url(url)
    try:
        with psycopg.connect(dsn, connect_timeout=_CONNECT_S, row_factory=dict_row) as connection:
            connection.read_only = True
            connection.execute(f"SET LOCAL statement_timeout = {_STATEMENT_MS}")
            return _TableReader(connection, schema).read()
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise SourceError(f"the database cannot be read: {lines[0][:300]}") from None


def split_url(url: str) -> tuple[str, str]:
    """The URL without Prisma's parameters, which PostgreSQL's library refuses, and the schema."""
    from psycopg.pq import Conninfo

    parts = urlsplit(url)
    if parts.scheme not in {"postgres", "postgresql"} or not parts.netloc:
        raise SourceError("the URL must have the form postgresql://USER:PASSWORD@HOST:PORT/NAME")
    known_options = {option.keyword.decode() for option in Conninfo.get_defaults()}
    pairs = parse_qsl(parts.query)
    query = urlencode([pair for pair in pairs if pair[0] in known_options], quote_via=quote)
    schema = dict(pairs).get("schema", "public")
    return urlunsplit(("postgresql", parts.netloc, parts.path, query, "")), schema


class _TableReader:
    """One pass over the tables."""

    def __init__(self, connection: Any, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        self._columns: dict[str, set[str]] = {}
        for row in connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns "
            "WHERE table_schema = %s",
            (schema,),
        ):
            self._columns.setdefault(row["table_name"], set()).add(row["column_name"])

    def read(self) -> Tables:
        if not self._has_table("VerificationToken"):
            raise SourceError(
                f"the schema `{self._schema[:80]}` has no table LiteLLM_VerificationToken: "
                "this is not the database of a LiteLLM proxy"
            )
        return Tables(
            rows={name: self._read_rows(name) for name in _TABLES if self._has_table(name)},
            usage=self._read_usage() if self._has_table(_USAGE) else [],
            counts={
                name: self._read_number(name) for name in UNIMPORTED_TABLES if self._has_table(name)
            },
        )

    def _has_table(self, name: str) -> bool:
        return f"LiteLLM_{name}" in self._columns

    def _table_query(self, text: str, name: str) -> Any:
        from psycopg import sql

        table = sql.Identifier(self._schema, f"LiteLLM_{name}")
        return sql.SQL(text).format(table=table)

    def _read_rows(self, name: str) -> list[Row]:
        rows = self._connection.execute(self._table_query("SELECT * FROM {table} ORDER BY 1", name))
        return [dict(row) for row in rows]

    def _read_number(self, name: str) -> int:
        rows = self._connection.execute(
            self._table_query("SELECT count(*) AS number FROM {table}", name)
        )
        return int(rows.fetchone()["number"])

    def _read_usage(self) -> list[Row]:
        columns = self._columns[f"LiteLLM_{_USAGE}"]
        names = [
            f"COALESCE({name}, '') AS {name}" if name in columns else f"'' AS {name}"
            for name in _NAMES
        ]
        sums = [f"SUM({name}) AS {name}" if name in columns else f"0 AS {name}" for name in _SUMS]
        column_numbers = ", ".join(str(number) for number in range(1, len(_NAMES) + 1))
        text = f"SELECT {', '.join([*names, *sums])} FROM {{table}} GROUP BY {column_numbers}"  # noqa: S608 - constants
        return [dict(row) for row in self._connection.execute(self._table_query(text, _USAGE))]
