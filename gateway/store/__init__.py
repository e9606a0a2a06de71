"""The only bridge between the ORM and the values of the hot path.

The relay gets these as functions; nothing below this layer knows a table. Each may
be called from any thread.
"""

from __future__ import annotations

from gateway.models.sealed import Undecryptable
from gateway.store.batches import batch_of, has_results, settle_batch
from gateway.store.bodies import load_bodies
from gateway.store.cache import (
    new_answers,
    prune_answers,
    purge_answers,
    read_answer,
    write_answers,
)
from gateway.store.checkpoint import checkpoint_when_due
from gateway.store.credentials import (
    credential_hint,
    credential_of,
    rotate_credentials,
    set_credential,
)
from gateway.store.fingerprints import WrongSecrets, accept_secrets, check_secrets
from gateway.store.keys import digest, end_grace, make_key, pepper, rotate_key
from gateway.store.last import Unusable, store_snapshot, stored_snapshot
from gateway.store.options import load_options, set_options
from gateway.store.reasoning import find_reasoning, keep_reasoning
from gateway.store.responses import (
    beat_responses,
    cancel_response,
    load_response,
    save_response,
)
from gateway.store.retention import prune
from gateway.store.rows import write
from gateway.store.search import index_pending
from gateway.store.snapshot import load_snapshot, provider_value
from gateway.store.spending import spent
from gateway.store.uploads import keep, kept
from gateway.store.version import bump, current_version

__all__ = [
    "Undecryptable",
    "Unusable",
    "WrongSecrets",
    "accept_secrets",
    "batch_of",
    "beat_responses",
    "bump",
    "cancel_response",
    "check_secrets",
    "checkpoint_when_due",
    "credential_hint",
    "credential_of",
    "current_version",
    "digest",
    "end_grace",
    "find_reasoning",
    "has_results",
    "index_pending",
    "keep",
    "keep_reasoning",
    "kept",
    "load_bodies",
    "load_options",
    "load_response",
    "load_snapshot",
    "make_key",
    "new_answers",
    "pepper",
    "provider_value",
    "prune",
    "prune_answers",
    "purge_answers",
    "read_answer",
    "rotate_credentials",
    "rotate_key",
    "save_response",
    "set_credential",
    "set_options",
    "settle_batch",
    "spent",
    "store_snapshot",
    "stored_snapshot",
    "write",
    "write_answers",
]
