"""The samples in deploy/ are valid."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from gateway.config import settings
from gateway.management.commands.up import Command
from gateway.relay.journal.metrics import METRICS

ROOT = Path(__file__).resolve().parent.parent
DEPLOY = ROOT / "deploy"
DOCKERFILE = (DEPLOY / "Dockerfile").read_text()


COMPOSE = ("compose.yml", "compose.stack.yml")


@pytest.mark.parametrize("name", ["dragoman.service", "Dockerfile", *COMPOSE])
def test_the_command_has_only_options_that_exist(name: str) -> None:
    text = (DEPLOY / name).read_text()
    (line,) = re.findall(r"^ *(?:ExecStart=|CMD |command: \[up).*", text, re.M)
    arguments = re.findall(r"[^\s\[\]\",]+", line)
    options = (
        Command()
        .create_parser("manage.py", "up")
        .parse_args(arguments[arguments.index("up") + 1 :])
    )
    assert options.port == 4000


def test_the_image_contains_every_package_that_the_wheel_requires() -> None:
    """Each path of the wheel is copied into the build, and nothing that does not exist."""
    copied = set(" ".join(re.findall(r"^COPY ([^-].*) \S+$", DOCKERFILE, re.M)).split())
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wheel = wheel["targets"]["wheel"]
    assert set(wheel["packages"]) | set(wheel["force-include"]) <= copied
    assert [name for name in copied if not (ROOT / name).exists()] == []


def test_every_setting_of_the_samples_exists() -> None:
    documentation = (ROOT / "docs/settings.md").read_text()
    for sample in DEPLOY.rglob("*"):
        if sample.is_file():
            for name in re.findall(r"\bDRAGOMAN_[A-Z_]+[A-Z]\b", sample.read_text()):
                assert f"`{name.removesuffix('_FILE')}`" in documentation, (sample.name, name)


@pytest.mark.parametrize("name", COMPOSE)
def test_the_composed_node_keeps_its_data_and_has_time_to_drain(name: str) -> None:
    node = yaml.safe_load((DEPLOY / name).read_text())["services"]["dragoman"]
    assert node["volumes"] == ["data:/data"]
    assert "VOLUME /data" in DOCKERFILE
    (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", DOCKERFILE, re.M)
    assert int(node["stop_grace_period"].removesuffix("s")) > settings.DRAIN_S + int(wait)


@pytest.mark.parametrize("name", COMPOSE)
def test_a_compose_file_follows_the_specification(name: str) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="uv sync --group manifests")
    text = (DEPLOY / name).read_text()
    options = compose_spec.PyOptions()
    options.apply_merge = True
    compose = options.from_yaml(text)
    compose.validate()
    services = yaml.safe_load(text)["services"]
    assert set(compose.service_names()) == set(services)
    # Images are pinned; what is mounted from this folder exists.
    for service in services.values():
        assert re.search(r":v?\d+(\.\d+)*", service.get("image", ":1"))
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert not source.startswith("./") or (DEPLOY / source).exists(), source


def test_every_variable_of_the_stack_is_in_its_example() -> None:
    required = re.findall(r"\$\{([A-Z_]+):\?", (DEPLOY / "compose.stack.yml").read_text())
    example = re.findall(r"^([A-Z_]+)=", (DEPLOY / "stack.env.example").read_text(), re.M)
    assert set(required) == set(example)


def test_grafana_finds_its_data_source_and_its_dashboard() -> None:
    grafana = DEPLOY / "grafana"
    source = yaml.safe_load((grafana / "provisioning/datasources/prometheus.yml").read_text())
    folder = yaml.safe_load((grafana / "provisioning/dashboards/dragoman.yml").read_text())
    stack = yaml.safe_load((DEPLOY / "compose.stack.yml").read_text())["services"]
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    path = folder["providers"][0]["options"]["path"]
    assert f"./grafana/dashboards:{path}:ro" in stack["grafana"]["volumes"]
    assert {query["datasource"]["uid"] for query in QUERIES} == {source["datasources"][0]["uid"]}
    scrape = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())["scrape_configs"][0]
    (names,) = scrape["dns_sd_configs"]
    assert (names["names"], names["port"]) == (["dragoman"], 4000)
    (secret,) = stack["prometheus"]["secrets"]
    assert scrape["authorization"]["credentials_file"] == f"/run/secrets/{secret}"


def test_prometheus_loads_alert_rules_for_metrics_that_exist() -> None:
    prometheus = DEPLOY / "prometheus"
    stack = yaml.safe_load((DEPLOY / "compose.stack.yml").read_text())["services"]
    (rules_file,) = yaml.safe_load((prometheus / "prometheus.yml").read_text())["rule_files"]
    assert (
        f"./prometheus/{rules_file}:/etc/prometheus/{rules_file}:ro"
        in (stack["prometheus"]["volumes"])
    )
    (group,) = yaml.safe_load((prometheus / rules_file).read_text())["groups"]
    queries = [rule["expr"] for rule in group["rules"]]
    names = {name for query in queries for name in re.findall(r"\bdragoman_\w+", query)}
    assert names
    assert names <= METRICS.keys()


DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/dragoman.json").read_text())
QUERIES = [query for panel in DASHBOARD["panels"] for query in panel.get("targets", [])]


def test_the_dashboard_shows_every_metric_with_labels_that_exist() -> None:
    values = set()
    for query in QUERIES:
        text = query["expr"]
        names = {
            re.sub(r"_(bucket|sum|count)$", "", name) if name not in METRICS else name
            for name in re.findall(r"dragoman_\w+", text)
        }
        assert names
        assert names <= set(METRICS), text
        values |= names
        known_labels = {"le", "instance"}.union(*(METRICS[name].labels for name in names))
        for group in re.findall(r"by \(([^)]*)\)", text):
            assert set(re.split(r",\s*", group)) <= known_labels, text
        assert set(re.findall(r"(\w+)(?:=~|=|!=)\"", text)) <= known_labels, text
        assert set(re.findall(r"\{\{(\w+)\}\}", query["legendFormat"])) <= known_labels, text
    assert values == set(METRICS)


def test_the_panels_of_the_dashboard_do_not_overlap() -> None:
    cells = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))


def test_the_service_manager_waits_longer_than_a_drain() -> None:
    unit = (DEPLOY / "dragoman.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.M)
    (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", unit, re.M)
    assert int(seconds) > settings.DRAIN_S + int(wait)


def test_no_idle_connection_of_the_proxy_outlives_the_wait_before_a_drain() -> None:
    kept_s = re.findall(r"keepalive_timeout (\d+)s;", (DEPLOY / "nginx.conf").read_text())
    kept_s += re.findall(r"keepalive (\d+)s\n", (DEPLOY / "Caddyfile").read_text())
    assert len(kept_s) == 2
    for name in ("dragoman.service", "Dockerfile"):
        (wait,) = re.findall(r"DRAGOMAN_DRAIN_WAIT=(\d+)$", (DEPLOY / name).read_text(), re.M)
        assert max(map(int, kept_s)) < int(wait)


def test_the_proxy_and_the_gateway_have_the_same_body_limit() -> None:
    nginx, caddy = (DEPLOY / "nginx.conf").read_text(), (DEPLOY / "Caddyfile").read_text()
    megabytes = re.findall(r"client_max_body_size (\d+)m;", nginx)
    megabytes += re.findall(r"max_size (\d+)MiB", caddy)
    largest = max(settings.MAX_BODY_BYTES, settings.MAX_UPLOAD_BYTES)
    assert [int(limit) * 1024 * 1024 for limit in megabytes] == [largest, largest]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="apt-get install systemd")
def test_systemd_accepts_the_unit_and_rates_it_as_confined(tmp_path: Path) -> None:
    unit = tmp_path / "dragoman.service"
    text = (DEPLOY / "dragoman.service").read_text()
    # The program is installed by the operator.
    unit.write_text(text.replace("/opt/dragoman/bin/dragoman", sys.executable))
    for command in (
        ["verify", "--man=no", str(unit)],
        ["security", "--offline=yes", "--threshold=20", str(unit)],
    ):
        done = subprocess.run(
            ["systemd-analyze", *command], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "dragoman.service:" not in done.stderr, done.stderr


@pytest.mark.skipif(not shutil.which("nginx"), reason="apt-get install nginx-light")
def test_nginx_accepts_the_sample(tmp_path: Path) -> None:
    sample = (DEPLOY / "nginx.conf").read_text()
    # Certificates are the operator's; the rest is read as it is.
    sample = re.sub(r"^\s*ssl_certificate.*\n", "", sample, flags=re.M).replace("443 ssl", "8443")
    (tmp_path / "site.conf").write_text(sample)
    temporary = "".join(
        f"{kind}_temp_path {tmp_path}/{kind}; "
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (tmp_path / "nginx.conf").write_text(
        f"pid {tmp_path}/pid; error_log {tmp_path}/log; events {{}}\n"
        f"http {{ access_log off; {temporary} include {tmp_path}/site.conf; }}\n"
    )
    command = ["nginx", "-t", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
