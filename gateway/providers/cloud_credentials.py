"""Finds credentials of clouds on this machine, from variables and files, without a network call.

A credential is only detected here; botocore and google-auth load it with the first request.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
from collections.abc import Mapping
from configparser import Error as IniError
from configparser import RawConfigParser
from pathlib import Path

import msgspec

# Time limit of the one network call, to the metadata service of an EC2 instance.
METADATA_TIMEOUT_S = 0.2
# The largest file that is read as a credential.
MAX_CREDENTIAL_BYTES = 1_000_000
_METADATA_HOST = "169.254.169.254"
_DMI = Path("/sys/class/dmi/id")
# Settings of a profile of which each gives it credentials (botocore/credentials.py).
_PROFILE_CREDENTIALS = (
    "aws_access_key_id",
    "credential_process",
    "login_session",
    "role_arn",
    "sso_session",
    "sso_start_url",
    "web_identity_token_file",
)
_CONTAINER_VARIABLES = (
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)


class CloudCredential(msgspec.Struct, frozen=True, kw_only=True):
    """A detected credential.

    Attributes:
        origin: where it is: a variable, a profile, a file.
        region: the cloud's region or location that belongs to it, or empty.
        project: the Google Cloud project that belongs to it, or empty.
    """

    origin: str
    region: str = ""
    project: str = ""


# --- Amazon ------------------------------------------------------------------------------


def find_aws_credential(environ: Mapping[str, str], home: Path) -> CloudCredential | None:
    """Return the credential that botocore's chain would use; None if there is none."""
    origin = _aws_variable(environ)
    profile_name = environ.get("AWS_PROFILE") or environ.get("AWS_DEFAULT_PROFILE") or "default"
    profile = _aws_profile(environ, home, profile_name)
    if not origin and any(profile.get(name) for name in _PROFILE_CREDENTIALS):
        origin = f"profile {profile_name}"
    if not origin and any(environ.get(name) for name in _CONTAINER_VARIABLES):
        origin = "container role"
    if not origin and _has_instance_role(environ):
        origin = "instance role"
    if not origin:
        return None
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION")
    return CloudCredential(origin=origin, region=region or profile.get("region", ""))


def _aws_variable(environ: Mapping[str, str]) -> str:
    if environ.get("AWS_ACCESS_KEY_ID") and environ.get("AWS_SECRET_ACCESS_KEY"):
        return "AWS_ACCESS_KEY_ID"
    if environ.get("AWS_WEB_IDENTITY_TOKEN_FILE") and environ.get("AWS_ROLE_ARN"):
        return "AWS_WEB_IDENTITY_TOKEN_FILE"
    return ""


def _aws_profile(environ: Mapping[str, str], home: Path, name: str) -> dict[str, str]:
    """Return a profile's settings from AWS's two files; empty if they cannot be read."""
    settings: dict[str, str] = {}
    for variable, file, section in (
        ("AWS_CONFIG_FILE", "config", name if name == "default" else f"profile {name}"),
        ("AWS_SHARED_CREDENTIALS_FILE", "credentials", name),
    ):
        path = Path(environ.get(variable) or home / ".aws" / file).expanduser()
        settings |= _ini_section(path, section)
    return settings


def _ini_section(path: Path, section: str) -> dict[str, str]:
    parser = RawConfigParser(default_section="")  # as botocore reads them
    try:
        parser.read(path, encoding="utf-8")
        return dict(parser.items(section)) if parser.has_section(section) else {}
    except (IniError, OSError, UnicodeDecodeError):
        return {}


def _has_instance_role(environ: Mapping[str, str]) -> bool:
    """Whether this is an EC2 instance with a role; other machines make no call."""
    disabled = environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true"
    if disabled or _read_dmi("sys_vendor") != "Amazon EC2":
        return False
    connection = http.client.HTTPConnection(_METADATA_HOST, timeout=METADATA_TIMEOUT_S)
    try:
        lifetime = {"x-aws-ec2-metadata-token-ttl-seconds": "60"}
        connection.request("PUT", "/latest/api/token", headers=lifetime)
        token = connection.getresponse().read(4096).decode("ascii", "replace")
        connection.request(
            "GET",
            "/latest/meta-data/iam/security-credentials/",
            headers={"x-aws-ec2-metadata-token": token},
        )
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException, ValueError):
        return False
    finally:
        connection.close()


# --- Google ------------------------------------------------------------------------------


def find_google_credential(environ: Mapping[str, str], home: Path) -> CloudCredential | None:
    """Return the application default credentials of this machine; None if there are none."""
    variable = "GOOGLE_APPLICATION_CREDENTIALS"
    folder = environ.get("CLOUDSDK_CONFIG") or home / ".config" / "gcloud"
    path = Path(environ.get(variable) or Path(folder) / "application_default_credentials.json")
    fields = _json_object(path)
    if fields:
        origin = variable if environ.get(variable) else "application default credentials"
    elif _read_dmi("product_name") == "Google Compute Engine":
        origin = "service account of the machine"
    else:
        return None
    return CloudCredential(
        origin=origin,
        project=google_project(environ) or _project_in(fields),
        region=google_location(environ),
    )


def google_project(environ: Mapping[str, str]) -> str:
    """Return the Google Cloud project in the variables, or an empty text."""
    return _first_variable(environ, "VERTEXAI_PROJECT", "VERTEX_PROJECT", "GOOGLE_CLOUD_PROJECT")


def project_of_credentials(credentials: str) -> str:
    """Return the Google Cloud project in credentials: their JSON text, or the path of a file."""
    if not credentials.lstrip().startswith("{"):
        return _project_in(_json_object(Path(credentials)))
    try:
        return _project_in(json.loads(credentials))
    except (ValueError, RecursionError):
        return ""


def _project_in(fields: Mapping[str, object]) -> str:
    return str(fields.get("project_id") or fields.get("quota_project_id") or "")


def google_location(environ: Mapping[str, str]) -> str:
    """Return the Google Cloud location in the variables, or an empty text."""
    return _first_variable(environ, "VERTEXAI_LOCATION", "VERTEX_LOCATION", "GOOGLE_CLOUD_LOCATION")


def _json_object(path: Path) -> dict[str, object]:
    try:
        path = path.expanduser()
        if not path.is_file() or path.stat().st_size > MAX_CREDENTIAL_BYTES:
            return {}
        value = json.loads(path.read_bytes())
    except (OSError, RecursionError, RuntimeError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _first_variable(environ: Mapping[str, str], *names: str) -> str:
    return next((environ[name] for name in names if environ.get(name)), "")


# --- both --------------------------------------------------------------------------------


def is_installed(module: str) -> bool:
    """Whether a package of an extra is installed."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package is missing
        return False


def _read_dmi(name: str) -> str:
    """Return a DMI field of the machine's firmware; empty if it cannot be read."""
    try:
        return (_DMI / name).read_text(encoding="ascii", errors="replace").strip()
    except OSError:
        return ""
