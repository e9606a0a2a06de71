"""The only layer that converts between the ORM and the values of the hot path.

The relay receives these functions as arguments; no layer below imports a Django model. Each
function may be called from any thread.
"""

from __future__ import annotations

from gateway.models.sealed import UndecryptableError
from gateway.store.batches import (
    batch_of,
    guardrails_of,
    record_guardrails,
    record_results_file,
    settle_batch,
)
from gateway.store.bodies import body_texts, load_bodies
from gateway.store.cached_responses import (
    clear_cache,
    new_cache_keys,
    prune_cache,
    read_cached_response,
    write_cached_responses,
)
from gateway.store.checkpoint import checkpoint_when_due
from gateway.store.client_spans import span_content, write_spans
from gateway.store.credentials import (
    credential_hint,
    credential_of,
    gateway_secrets,
    rotate_credentials,
    sealed_counts,
    set_credential,
)
from gateway.store.fingerprints import WrongSecrets, accept_secrets, check_secrets
from gateway.store.keys import (
    create_key,
    digest,
    end_grace,
    find_key,
    hashed_digest,
    lookup_digests,
    pepper,
    rotate_key,
)
from gateway.store.options import load_options, set_options
from gateway.store.preparation import exclusive_preparation
from gateway.store.program_version import (
    NewerDatabase,
    check_program,
    migration_names,
    record_program,
    unknown_migrations,
)
from gateway.store.reasoning import find_reasoning, store_reasoning
from gateway.store.resource_owners import owned_ids, remember_owner
from gateway.store.responses import (
    cancel_response,
    load_response,
    refresh_heartbeats,
    save_response,
)
from gateway.store.retention import prune
from gateway.store.rows import write
from gateway.store.search import index_pending
from gateway.store.snapshot import current_snapshot, load_snapshot, provider_value
from gateway.store.snapshot_file import NAME as STORED_SNAPSHOT
from gateway.store.snapshot_file import UnusableRequest, load_stored_snapshot, store_snapshot
from gateway.store.spending import recorded_spend
from gateway.store.version import bump_version, current_version

__all__ = [
    "STORED_SNAPSHOT",
    "NewerDatabase",
    "UndecryptableError",
    "UnusableRequest",
    "WrongSecrets",
    "accept_secrets",
    "batch_of",
    "body_texts",
    "bump_version",
    "cancel_response",
    "check_program",
    "check_secrets",
    "checkpoint_when_due",
    "clear_cache",
    "create_key",
    "credential_hint",
    "credential_of",
    "current_snapshot",
    "current_version",
    "digest",
    "end_grace",
    "exclusive_preparation",
    "find_key",
    "find_reasoning",
    "gateway_secrets",
    "guardrails_of",
    "hashed_digest",
    "index_pending",
    "load_bodies",
    "load_options",
    "load_response",
    "load_snapshot",
    "load_stored_snapshot",
    "lookup_digests",
    "migration_names",
    "new_cache_keys",
    "owned_ids",
    "pepper",
    "provider_value",
    "prune",
    "prune_cache",
    "read_cached_response",
    "record_guardrails",
    "record_program",
    "record_results_file",
    "recorded_spend",
    "refresh_heartbeats",
    "remember_owner",
    "rotate_credentials",
    "rotate_key",
    "save_response",
    "sealed_counts",
    "set_credential",
    "set_options",
    "settle_batch",
    "span_content",
    "store_reasoning",
    "store_snapshot",
    "unknown_migrations",
    "write",
    "write_cached_responses",
    "write_spans",
]
