"""Databases of a LiteLLM proxy: with the imported columns, and with LiteLLM's own schema.

LiteLLM 1.106.2 created the encrypted values (`encrypt_value_helper`) and the hashes
(`hash_token`: SHA-256).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

POSTGRES = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/postgres")
SALT_KEY = "sk-salt-1234"
MASTER_KEY = "sk-master-1234"
PROVIDER_KEY = "sk-provider-" + "x" * 120
SEALED_MODEL = "ZGMCUibbqgOzNEzNTsRFQHfJ-WqvjyA1MBplYdoW5uEVlgfrb7SF3Oo_L8ukGSXv5mrEL-M="
SEALED_KEY = (
    "cUUTW6XxOtr3AfX1NrifuVbKUMCkfF6kLOV5ctOCq5zQUgU2Kg2eVX3qkw53g-wYpIW9mvwYUtUqTyvguFzfiqpkaQ_c"
    "xEH5AOnVIcjoGGdDXsyTGjyC8rEXA4RdmLoD_Cg0j-p_HWExrmIAJOE2nWisJlmlh_a8QTZNIS6J9SvW6y4hEhQrfByqq"
    "LPTOKeHVcofncBNPnZz1qB9Clo7x6vEGM2s7zVCMazDvg=="
)
SEALED_BY_GCM = "v2:gcm:E32U2q8YztzxDvgcEnG09DMvmgwrD95UM8G2MFguXv-UI6McX6gy7ENRhA=="
GCM_KEY = "sk-provider-gcm"

# The columns that the import reads; an older proxy's database has about these.
SCHEMA = """
CREATE TABLE "LiteLLM_BudgetTable" (budget_id text PRIMARY KEY, max_budget float8,
  soft_budget float8, max_parallel_requests int, tpm_limit bigint, rpm_limit bigint,
  budget_duration text, created_by text NOT NULL, updated_by text NOT NULL);
CREATE TABLE "LiteLLM_OrganizationTable" (organization_id text PRIMARY KEY,
  organization_alias text NOT NULL, budget_id text NOT NULL, models text[],
  created_by text NOT NULL, updated_by text NOT NULL);
CREATE TABLE "LiteLLM_TeamTable" (team_id text PRIMARY KEY, team_alias text, organization_id text,
  max_budget float8, budget_duration text, models text[], rpm_limit bigint, tpm_limit bigint,
  max_parallel_requests int, blocked boolean NOT NULL DEFAULT false, model_id int,
  spend float8 NOT NULL DEFAULT 0, budget_reset_at timestamp(3));
CREATE TABLE "LiteLLM_UserTable" (user_id text PRIMARY KEY, user_email text, max_budget float8,
  budget_duration text, models text[], rpm_limit bigint);
CREATE TABLE "LiteLLM_EndUserTable" (user_id text PRIMARY KEY, alias text, budget_id text,
  blocked boolean NOT NULL DEFAULT false);
CREATE TABLE "LiteLLM_ProxyModelTable" (model_id text PRIMARY KEY, model_name text NOT NULL,
  litellm_params jsonb NOT NULL, model_info jsonb, created_by text NOT NULL,
  updated_by text NOT NULL);
CREATE TABLE "LiteLLM_Config" (param_name text PRIMARY KEY, param_value jsonb);
CREATE TABLE "LiteLLM_VerificationToken" (token text PRIMARY KEY, key_name text, key_alias text,
  spend float8 NOT NULL DEFAULT 0, expires timestamp(3), models text[],
  aliases jsonb NOT NULL DEFAULT '{}', user_id text, team_id text, max_parallel_requests int,
  metadata jsonb NOT NULL DEFAULT '{}', blocked boolean, tpm_limit bigint, rpm_limit bigint,
  max_budget float8, budget_duration text, budget_reset_at timestamp(3), budget_id text,
  allowed_routes text[], created_at timestamp(3) DEFAULT CURRENT_TIMESTAMP);
CREATE TABLE "LiteLLM_DailyUserSpend" (id text PRIMARY KEY, user_id text, date text NOT NULL,
  api_key text NOT NULL, model text, model_group text, custom_llm_provider text,
  prompt_tokens bigint NOT NULL DEFAULT 0, completion_tokens bigint NOT NULL DEFAULT 0,
  spend float8 NOT NULL DEFAULT 0, api_requests bigint NOT NULL DEFAULT 0,
  successful_requests bigint NOT NULL DEFAULT 0, failed_requests bigint NOT NULL DEFAULT 0,
  updated_at timestamp(3) NOT NULL);
"""


def migrations(packages: Path) -> str:
    """Return LiteLLM's own migrations as one transaction, from its packages."""
    files = sorted((packages / "litellm_proxy_extras" / "migrations").glob("*/migration.sql"))
    statements = ";\n".join(file.read_text(encoding="utf-8") for file in files)
    # In a transaction, indexes are not created concurrently.
    return statements.replace(" CONCURRENTLY", "")


def hash_token(token: str) -> str:
    """Return the hash under which LiteLLM stores a key."""
    return hashlib.sha256(token.encode()).hexdigest()


@contextmanager
def new_database(statements: str = SCHEMA) -> Iterator[tuple[str, psycopg.Connection[Any]]]:
    """Create a database; yield its URL and a connection. Skip the test without PostgreSQL."""
    try:
        socket.create_connection(("127.0.0.1", 5432), timeout=10).close()
    except OSError:
        if "TEST_POSTGRES_URL" not in os.environ:
            pytest.skip("no PostgreSQL on 127.0.0.1:5432; start one, or set TEST_POSTGRES_URL")
    name = f"litellm_{uuid.uuid4().hex[:12]}"
    url = f"{POSTGRES.rpartition('/')[0]}/{name}"
    with psycopg.connect(POSTGRES, autocommit=True) as server:
        server.execute(f'CREATE DATABASE "{name}"')
        try:
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute(statements)
                yield url, connection
        finally:
            server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def insert(connection: psycopg.Connection[Any], table: str, **values: Any) -> None:
    """Insert a row with LiteLLM's defaults."""
    columns = connection.execute(
        "SELECT column_name FROM information_schema.columns WHERE table_name = %s",
        (f"LiteLLM_{table}",),
    ).fetchall()
    names = {name for (name,) in columns}
    always = {"created_by": "ui", "updated_by": "ui", "updated_at": dt.datetime.now(dt.UTC)}
    row = {**{name: value for name, value in always.items() if name in names}, **values}
    connection.execute(
        sql.SQL("INSERT INTO {} ({}) VALUES ({})").format(
            sql.Identifier(f"LiteLLM_{table}"),
            sql.SQL(", ").join(map(sql.Identifier, row)),
            sql.SQL(", ").join([sql.Placeholder()] * len(row)),
        ),
        [Jsonb(value) if isinstance(value, dict) else value for value in row.values()],
    )


def insert_company(connection: psycopg.Connection[Any], today: dt.datetime) -> None:
    """Insert a small company: an organization, two teams with one name, keys, models and usage."""
    naive = today.replace(tzinfo=None)
    insert(connection, "BudgetTable", budget_id="b1", max_budget=1000.0, budget_duration="30d")
    insert(connection, "BudgetTable", budget_id="b2", rpm_limit=7)
    insert(
        connection,
        "OrganizationTable",
        organization_id="o1",
        organization_alias="Acme",
        budget_id="b1",
        models=[],
    )
    insert(
        connection,
        "TeamTable",
        team_id="t1",
        team_alias="search",
        organization_id="o1",
        max_budget=50.0,
        budget_duration="7d",
        models=["smart", "fast"],
        tpm_limit=100_000,
    )
    insert(
        connection, "TeamTable", team_id="t2-other", team_alias="search", models=[], blocked=True
    )
    insert(connection, "UserTable", user_id="ann", max_budget=9.0, budget_duration="1mo", models=[])
    insert(connection, "UserTable", user_id="bob", models=["fast"])
    insert(connection, "EndUserTable", user_id="customer-1", budget_id="b1")
    insert(
        connection,
        "ProxyModelTable",
        model_id="m1",
        model_name="smart",
        litellm_params={"model": SEALED_MODEL, "api_key": SEALED_KEY, "rpm": 100},
        model_info={"id": "m1", "db_model": True, "access_groups": ["office"]},
    )
    insert(
        connection,
        "Config",
        param_name="router_settings",
        param_value={"model_group_alias": {"gpt-4": "smart"}},
    )
    month_start = naive.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    keys: list[dict[str, Any]] = [
        {
            "token": hash_token("sk-ci"),
            "key_alias": "ci",
            "team_id": "t1",
            "user_id": "ann",
            "models": ["office"],
            "max_budget": 20.0,
            "budget_duration": "30d",
            "budget_reset_at": month_start + dt.timedelta(days=40),
            "spend": 3.5,
            "rpm_limit": 60,
            "tpm_limit": 5000,
            "max_parallel_requests": 3,
            "metadata": {"tags": ["batch"], "model_rpm_limit": {"smart": 1}},
            "expires": naive + dt.timedelta(days=3),
        },
        {
            "token": hash_token("sk-ann"),
            "user_id": "ann",
            "models": [],
            "budget_id": "b2",
            "aliases": {"gpt-4o": "smart"},
            "max_budget": 2.0,
            "spend": 1.25,
            "created_at": naive - dt.timedelta(days=100),
        },
        {"token": hash_token("sk-off"), "key_alias": "off", "models": [], "blocked": True},
        {"token": hash_token("sk-zero"), "key_alias": "zero", "models": [], "rpm_limit": 0},
        {"token": hash_token("sk-old"), "key_alias": "old", "models": ["gpt-4"], "user_id": "bob"},
        {"token": hash_token("sk-t2"), "key_alias": "t2", "team_id": "t2-other", "models": []},
        {"token": hash_token("sk-ui"), "team_id": "litellm-dashboard", "models": []},
        {"token": hash_token(MASTER_KEY), "models": []},
    ]
    for key in keys:
        insert(connection, "VerificationToken", **key)
    for number, (token, usd) in enumerate((("sk-ci", 2.0), ("sk-ci", 1.0), ("sk-gone", 4.0))):
        insert(
            connection,
            "DailyUserSpend",
            id=f"d{number}",
            user_id=str(number),
            date=today.date().isoformat(),
            api_key=hash_token(token),
            model="gpt-4o",
            model_group="smart",
            custom_llm_provider="openai",
            prompt_tokens=100,
            completion_tokens=10,
            spend=usd,
            api_requests=5,
            successful_requests=4,
            failed_requests=1,
        )
