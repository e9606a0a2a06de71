"""The file of a backup: a gzipped tar archive, optionally encrypted with a passphrase.

Its first member is `manifest.json`, with the size and the SHA-256 of every other member:
`secrets.json` and the database, which is `database.sqlite3` or `tables/<name>.copy`.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import re
import shutil
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, BinaryIO, Self, cast

import msgspec

from gateway.backup.encryption import MAGIC, DecryptionError, EncryptedReader, EncryptedWriter

FORMAT = 1
# Sizes above 8 GiB need no second header in this format.
TAR_FORMAT = tarfile.GNU_FORMAT
MANIFEST = "manifest.json"
_MANIFEST_BYTES = 4 * 1024 * 1024
_BLOCK_BYTES = 1024 * 1024
# Names in statements of SQL, which COPY cannot take as parameters.
_SqlName = Annotated[str, msgspec.Meta(pattern=r"^[a-z_][a-z0-9_]*\Z")]
_NAME = re.compile(r"(secrets\.json|database\.sqlite3|tables/[a-z0-9_]+\.copy)")


class ArchiveError(Exception):
    """The file is not an intact backup, or cannot be decrypted; the message says why."""


class _MemberHeader(tarfile.TarInfo):
    """The header of a plain file: tarfile reads the others into memory, whatever their size."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        info = super().frombuf(buf, encoding, errors)
        if info.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
            raise ArchiveError(f"the backup has a member that is not a plain file: {info.name!r}")
        return info


class Member(msgspec.Struct, frozen=True):
    """Size in bytes and SHA-256 in hexadecimal digits of one member."""

    bytes: Annotated[int, msgspec.Meta(ge=0)]
    sha256: str


class Table(msgspec.Struct, frozen=True):
    """A table of PostgreSQL: its columns in the order of the data, and its rows."""

    columns: list[_SqlName]
    rows: int


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """Contents of a backup.

    Attributes:
        program_version: the program that made the backup.
        created_at: UTC, in ISO 8601.
        database: `sqlite` or `postgresql`.
        migrations: those applied, as (app, name).
        tables: of PostgreSQL, by name.
        members: all members but the manifest, by name.
    """

    format: int
    program_version: str
    created_at: str
    database: str
    migrations: list[tuple[str, str]]
    tables: dict[_SqlName, Table] = {}
    members: dict[str, Member] = {}


def measure(path: Path) -> Member:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    return Member(path.stat().st_size, digest.hexdigest())


def pack(target: BinaryIO, directory: Path, manifest: Manifest, passphrase: str | None) -> None:
    """Write the members from `directory` to `target`; encrypted if there is a passphrase."""
    content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
    with (
        _open_encrypted(target, passphrase) as stream,
        gzip.GzipFile(filename="", fileobj=stream, mode="wb", compresslevel=1) as gzip_file,
        tarfile.open(fileobj=gzip_file, mode="w|", format=TAR_FORMAT) as tar,
    ):
        tar.addfile(_member_header(MANIFEST, len(content)), io.BytesIO(content))
        for name, member in manifest.members.items():
            with (directory / name).open("rb") as file:
                tar.addfile(_member_header(name, member.bytes), file)


def _member_header(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o600
    return info


@contextmanager
def _open_encrypted(target: BinaryIO, passphrase: str | None) -> Iterator[BinaryIO]:
    if passphrase is None:
        yield target
        return
    with EncryptedWriter(target, passphrase) as writer:
        yield cast("BinaryIO", writer)


def unpack(source: BinaryIO, directory: Path, passphrase: str | None) -> Manifest:
    """Write the members to `directory` and verify size and checksum of each.

    Raises:
        ArchiveError: the file is not a backup, is damaged or truncated, has a newer format, or
            is encrypted with another passphrase.
    """
    try:
        stream = _decrypted_stream(source, passphrase)
        with (
            gzip.GzipFile(fileobj=stream) as gzip_file,
            tarfile.open(fileobj=gzip_file, mode="r|", tarinfo=_MemberHeader) as tar,
        ):
            members = iter(tar)
            manifest = _read_manifest(tar, next(members, None))
            _check_space(manifest, directory)
            extracted_names: set[str] = set()
            for info in members:
                if info.name in extracted_names:
                    raise ArchiveError(f"the backup is damaged: it has {info.name} twice")
                _extract_member(tar, info, directory, manifest)
                extracted_names.add(info.name)
            # Up to the end, which the checksum of gzip follows.
            while gzip_file.read(_BLOCK_BYTES):
                pass
    except DecryptionError as error:
        raise ArchiveError(str(error)) from None
    except (gzip.BadGzipFile, tarfile.ReadError) as error:
        raise ArchiveError(f"the file is not a backup, or is damaged: {error}") from None
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ArchiveError(f"the backup is damaged or incomplete: {error}") from None
    missing_members = [name for name in manifest.members if name not in extracted_names]
    if missing_members:
        raise ArchiveError(f"the backup is incomplete: {missing_members[0]} is missing")
    return manifest


def _decrypted_stream(source: BinaryIO, passphrase: str | None) -> BinaryIO:
    is_encrypted = source.read(len(MAGIC)) == MAGIC
    if not is_encrypted:
        source.seek(0)
        return source
    if passphrase is None:
        raise ArchiveError("the backup is encrypted: pass its passphrase with --passphrase-file")
    return cast("BinaryIO", io.BufferedReader(EncryptedReader(source, passphrase)))


def _read_manifest(tar: tarfile.TarFile, info: tarfile.TarInfo | None) -> Manifest:
    if info is None or info.name != MANIFEST or not info.isfile() or info.size > _MANIFEST_BYTES:
        raise ArchiveError(f"the file is not a backup: it does not begin with {MANIFEST}")
    content = cast("BinaryIO", tar.extractfile(info)).read()
    try:
        fields = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
        number = msgspec.json.decode(fields.get("format", b"0"), type=int)
        if number != FORMAT:
            raise ArchiveError(
                f"the backup has format {number}, and this program reads format {FORMAT}: restore "
                "it with the version of Dragoman that made it"
            )
        return msgspec.json.decode(content, type=Manifest)
    except msgspec.MsgspecError as error:
        raise ArchiveError(f"the manifest of the backup is damaged: {error}") from None


def _check_space(manifest: Manifest, directory: Path) -> None:
    """Check that the members fit, before the disk of a gateway is filled with them."""
    needed_bytes = sum(member.bytes for member in manifest.members.values())
    free_bytes = shutil.disk_usage(directory).free
    if needed_bytes > free_bytes:
        raise ArchiveError(
            f"the backup has {needed_bytes:,} bytes, and {free_bytes:,} bytes are free in "
            f"{directory.parent}"
        )


def _extract_member(
    tar: tarfile.TarFile, info: tarfile.TarInfo, directory: Path, manifest: Manifest
) -> None:
    expected_member = manifest.members.get(info.name)
    if expected_member is None or not info.isfile() or not _NAME.fullmatch(info.name):
        raise ArchiveError(f"the backup has a member that is not in its manifest: {info.name!r}")
    if info.size != expected_member.bytes:
        raise ArchiveError(f"the backup is damaged: the size of {info.name} differs")
    path = directory / info.name
    path.parent.mkdir(mode=0o700, exist_ok=True)
    source = cast("BinaryIO", tar.extractfile(info))
    with path.open("wb") as file:
        while block := source.read(_BLOCK_BYTES):
            file.write(block)
    if measure(path) != expected_member:
        raise ArchiveError(f"the backup is damaged: the checksum of {info.name} differs")
