"""Checks that this node has the same secrets as the others, by fingerprints in the database.

With another DRAGOMAN_SECRET_KEY a node rejects all API keys, and the others reject those that
it creates. With other encryption keys it cannot decrypt the providers' credentials.
"""

from __future__ import annotations

import hashlib
import hmac

from django.conf import settings
from django.db import transaction

from gateway.models import Fingerprint
from gateway.models.sealed import key_id
from gateway.store.credentials import is_sealing_key_used, rotate_credentials
from gateway.store.rotation import rotate_temporary_rows

_SECRET_KEY, _ENCRYPTION = "secret key", "encryption keys"
_KEY_DIFFERS = (
    "DRAGOMAN_SECRET_KEY of this node differs from the key that this database is used with, so "
    "every API key would be rejected. Set the same value on all nodes (see the file "
    "`secret_key` in the data directory of a working node). To change it on purpose, stop all "
    "nodes and run `manage.py accept_secrets`; all API keys must then be created again"
)
_ENCRYPTION_DIFFERS = (
    "DRAGOMAN_ENCRYPTION_KEYS of this node contains none of the keys that this database is "
    "used with, so the providers' credentials could not be decrypted. Set the same value on "
    "all nodes (see the file `encryption_key` in the data directory of a working node); to "
    "rotate, set `NEW,OLD`. If the old key is lost, run `manage.py accept_secrets` and enter "
    "the credentials again"
)


class WrongSecrets(Exception):
    """This node's secrets differ from those that its database is used with."""


def check_secrets() -> None:
    """Compare this node's secrets with the stored fingerprints; the first node stores them.

    An encryption key that is new is added, as in a rotation (`NEW,OLD`). One that this node no
    longer has is removed once nothing is sealed with it.

    Raises:
        WrongSecrets: they differ; the message says what to do.
    """
    with transaction.atomic():
        secret_key = _secret_key()
        row, _ = Fingerprint.objects.get_or_create(
            purpose=_SECRET_KEY, defaults={"values": [secret_key]}
        )
        if secret_key not in row.values:
            raise WrongSecrets(_KEY_DIFFERS)
        key_ids = [key_id(key) for key in settings.ENCRYPTION_KEYS]
        row, _ = Fingerprint.objects.get_or_create(
            purpose=_ENCRYPTION, defaults={"values": key_ids[:1]}
        )
        if not set(key_ids) & set(row.values):
            raise WrongSecrets(_ENCRYPTION_DIFFERS)
        used_elsewhere = [key for key in row.values if key in key_ids or is_sealing_key_used(key)]
        values = list(dict.fromkeys([key_ids[0], *used_elsewhere]))
        if values != row.values:
            row.values = values
            row.save()


def accept_secrets() -> int:
    """Replace the stored fingerprints by this node's; return the number of credentials renewed."""
    with transaction.atomic():
        renewed_count = rotate_credentials()
        rotate_temporary_rows()
        encryption = [key_id(settings.ENCRYPTION_KEYS[0])]
        for purpose, values in ((_SECRET_KEY, [_secret_key()]), (_ENCRYPTION, encryption)):
            Fingerprint.objects.update_or_create(purpose=purpose, defaults={"values": values})
    return renewed_count


def _secret_key() -> str:
    purpose = b"dragoman: fingerprint of the secret key"
    return hmac.new(settings.SECRET_KEY.encode(), purpose, hashlib.sha256).hexdigest()[:16]
