"""The backup archive: a round trip restores its contents, and damaged files are refused."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from pathlib import Path

import msgspec
import pytest

from gateway.backup import archive, encryption
from gateway.backup.archive import ArchiveError, Manifest
from gateway.backup.encryption import (
    CHUNK_BYTES,
    MAGIC,
    DecryptionError,
    EncryptedReader,
    EncryptedWriter,
)

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(autouse=True)
def _quick_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encryption, "SCRYPT_N", 2)


def create_backup(directory: Path, passphrase: str | None = None, **changes: object) -> bytes:
    """Return the path of a backup of a small database."""
    source = directory / "source"
    source.mkdir(exist_ok=True)
    (source / "secrets.json").write_bytes(b"{}")
    (source / "database.sqlite3").write_bytes(b"rows " * 5000)
    names = ("secrets.json", "database.sqlite3")
    manifest = Manifest(
        format=archive.FORMAT,
        program_version="0.1.0",
        created_at="2026-01-01T00:00:00+00:00",
        database="sqlite",
        migrations=[("gateway", "0001_initial")],
        members={name: archive.measure(source / name) for name in names},
    )
    file = io.BytesIO()
    archive.pack(file, source, msgspec.structs.replace(manifest, **changes), passphrase)
    return file.getvalue()


def restore_backup(content: bytes, directory: Path, passphrase: str | None = None) -> Manifest:
    target = directory / "target"
    target.mkdir()
    return archive.unpack(io.BytesIO(content), target, passphrase)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_an_archive_round_trips(tmp_path: Path, passphrase: str | None) -> None:
    manifest = restore_backup(create_backup(tmp_path, passphrase), tmp_path, passphrase)
    assert manifest.migrations == [("gateway", "0001_initial")]
    assert (tmp_path / "target/database.sqlite3").read_bytes() == b"rows " * 5000


def test_an_encrypted_backup_reveals_nothing(tmp_path: Path) -> None:
    content = create_backup(tmp_path, PASSPHRASE)
    assert content.startswith(MAGIC)
    assert b"manifest" not in content
    with pytest.raises(ArchiveError, match="--passphrase-file"):
        archive.unpack(io.BytesIO(content), tmp_path, None)


def test_a_wrong_passphrase_is_named(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="passphrase is wrong"):
        restore_backup(create_backup(tmp_path, PASSPHRASE), tmp_path, "another passphrase")


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
@pytest.mark.parametrize("part", [0.0, 0.1, 0.5, 0.99])
def test_a_backup_that_is_cut_off_is_refused(
    tmp_path: Path, passphrase: str | None, part: float
) -> None:
    content = create_backup(tmp_path, passphrase)
    with pytest.raises(ArchiveError):
        restore_backup(content[: int(len(content) * part)], tmp_path, passphrase)


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_changed_byte_is_detected(tmp_path: Path, passphrase: str | None) -> None:
    content = bytearray(create_backup(tmp_path, passphrase))
    content[len(content) // 2] ^= 1
    with pytest.raises(ArchiveError):
        restore_backup(bytes(content), tmp_path, passphrase)


def test_a_member_that_differs_from_the_manifest_is_named(tmp_path: Path) -> None:
    changed = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(create_backup(tmp_path))) as tar,
        tarfile.open(fileobj=changed, mode="w:gz") as copy,
    ):
        for info in tar:
            content = tar.extractfile(info).read().replace(b"rows rows", b"rows cows", 1)
            copy.addfile(info, io.BytesIO(content))
    with pytest.raises(ArchiveError, match="checksum of database.sqlite3 differs"):
        restore_backup(changed.getvalue(), tmp_path)


@pytest.mark.parametrize("name", ["../secret_key", "/etc/passwd", "tables/../../x.copy"])
def test_no_member_leaves_the_directory(tmp_path: Path, name: str) -> None:
    members = {name: archive.Member(1, "00")}
    content = create_backup(tmp_path, members={})
    manifest = msgspec.json.decode(_read_member(content, archive.MANIFEST), type=Manifest)
    manifest = msgspec.structs.replace(manifest, members=members)
    evil = _archive_of(manifest, {name: b"x"})
    with pytest.raises(ArchiveError, match="not in its manifest"):
        restore_backup(evil, tmp_path)


def _read_member(content: bytes, name: str) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        return tar.extractfile(name).read()


@pytest.mark.parametrize("header_type", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
def test_no_header_is_read_into_memory(tmp_path: Path, header_type: bytes) -> None:
    """A small archive can contain gigabytes of zeros as a name."""
    header = tarfile.TarInfo("x")
    header.type, header.size = header_type, 64 * 1024 * 1024
    content = gzip.compress(header.tobuf() + bytes(header.size))
    tracemalloc.start()
    try:
        with pytest.raises(ArchiveError, match="not a plain file"):
            restore_backup(content, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024 * 1024
    finally:
        tracemalloc.stop()


def test_a_member_of_more_than_8_gib_needs_no_second_header() -> None:
    header = tarfile.TarInfo("tables/log.copy")
    header.size = 9 * 1024**3
    assert len(header.tobuf(archive.TAR_FORMAT)) == tarfile.BLOCKSIZE


def test_a_newer_format_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(ArchiveError, match="format 2.*the version of Dragoman that made it"):
        restore_backup(create_backup(tmp_path, format=2), tmp_path)


# The time in gzip's header would be part of the test's name, which workers must agree on.
@pytest.mark.parametrize(
    "content",
    [b"", b"not a backup", gzip.compress(b"not a tar" * 100, mtime=0)],
    ids=["empty", "text", "gzip"],
)
def test_another_file_is_no_backup(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ArchiveError, match="backup"):
        restore_backup(content, tmp_path)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
def test_a_stream_of_any_length_is_decrypted(size: int) -> None:
    plain = bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    file = io.BytesIO()
    with EncryptedWriter(file, PASSPHRASE) as writer:
        writer.write(plain)
    file.seek(len(MAGIC))
    assert io.BufferedReader(EncryptedReader(file, PASSPHRASE)).read() == plain


def test_a_stream_without_its_last_chunk_is_refused() -> None:
    file = io.BytesIO()
    with EncryptedWriter(file, PASSPHRASE) as writer:
        writer.write(b"x" * (CHUNK_BYTES + 1))
    file.truncate(len(MAGIC) + 16 + CHUNK_BYTES + 16)
    file.seek(len(MAGIC))
    with pytest.raises(DecryptionError):
        EncryptedReader(file, PASSPHRASE).read()


@pytest.mark.parametrize(
    "tables",
    [
        {"gateway_route\" FROM PROGRAM 'id' --\"": archive.Table([], 0)},
        {"gateway_route": archive.Table(['"id") FROM PROGRAM \'id\' --"'], 0)},
        {"gateway_route": archive.Table(["id\n"], 0)},
    ],
)
def test_no_name_in_a_manifest_is_sql(tmp_path: Path, tables: dict[str, archive.Table]) -> None:
    with pytest.raises(ArchiveError, match="manifest of the backup is damaged"):
        restore_backup(create_backup(tmp_path, tables=tables), tmp_path)


def test_a_member_larger_than_the_disk_is_refused_before_it_is_written(tmp_path: Path) -> None:
    content = create_backup(tmp_path)
    manifest = msgspec.json.decode(_read_member(content, archive.MANIFEST), type=Manifest)
    members = {**manifest.members, "tables/a.copy": archive.Member(2**60, "00")}
    content = _archive_of(msgspec.structs.replace(manifest, members=members), {})
    with pytest.raises(ArchiveError, match="bytes are free"):
        restore_backup(content, tmp_path)


def test_a_member_larger_than_it_says_is_not_written(tmp_path: Path) -> None:
    content = create_backup(tmp_path)
    manifest = msgspec.json.decode(_read_member(content, archive.MANIFEST), type=Manifest)
    content = _archive_of(manifest, {"database.sqlite3": bytes(10**6)})
    with pytest.raises(ArchiveError, match="the size of database.sqlite3 differs"):
        restore_backup(content, tmp_path)
    assert not (tmp_path / "target/database.sqlite3").exists()


def test_a_member_that_is_repeated_is_refused(tmp_path: Path) -> None:
    """A small file can contain millions of them, and tarfile keeps each header in memory."""
    content = create_backup(tmp_path)
    repeated = gzip.compress(_repeat_secrets(gzip.decompress(content), 2))
    with pytest.raises(ArchiveError, match="secrets.json twice"):
        restore_backup(repeated, tmp_path)


def _repeat_secrets(archive_bytes: bytes, count: int) -> bytes:
    """The archive with `secrets.json` several times: one block of header, one of content."""
    with tarfile.open(fileobj=io.BytesIO(archive_bytes)) as tar:
        start = tar.getmember("secrets.json").offset
    end = start + 2 * tarfile.BLOCKSIZE
    return archive_bytes[:start] + archive_bytes[start:end] * count + archive_bytes[end:]


def _archive_of(manifest: Manifest, members: dict[str, bytes]) -> bytes:
    """An archive of any manifest and any members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, data in {archive.MANIFEST: msgspec.json.encode(manifest), **members}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return file.getvalue()
