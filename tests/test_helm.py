"""The Helm chart renders valid manifests and refuses contradictory values."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.config import settings
from gateway.management.commands.up import Command

CHART = Path(__file__).resolve().parent.parent / "deploy" / "helm" / "dragoman"
HELM = shutil.which("helm")
SECRETS = {
    "DATABASE_URL": "postgres://dragoman@db/dragoman",
    "DRAGOMAN_SECRET_KEY": "secret",
    "DRAGOMAN_ENCRYPTION_KEYS": "key",
}
POSTGRESQL = {"database": {"kind": "postgresql"}, "secrets": {"existingSecret": "llm"}}
EXTERNAL = {
    "enabled": True,
    "secretStoreRef": {"name": "vault"},
    "dataFrom": [{"extract": {"key": "dragoman"}}],
}
EVERYTHING = {
    "database": {"kind": "postgresql"},
    "replicaCount": 3,
    "secrets": {"externalSecret": EXTERNAL},
    "config": "model_list: []\n",
    "environment": {"DRAGOMAN_LOG_RETENTION_DAYS": "7"},
    "trustedProxies": ["10.0.0.0/8"],
    "imagePullSecrets": [{"name": "pull"}],
    "ingress": {
        "enabled": True,
        "className": "nginx",
        "hosts": ["llm.example.com"],
        "tls": [{"secretName": "tls", "hosts": ["llm.example.com"]}],
    },
    "autoscaling": {"enabled": True},
    "networkPolicy": {
        "enabled": True,
        "ingressFrom": [{"namespaceSelector": {"matchLabels": {"name": "ingress"}}}],
        "egress": [{"to": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}],
    },
    "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
    "serviceAccount": {"annotations": {"role": "llm"}},
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "platform"},
    "nodeSelector": {"disk": "ssd"},
    "tolerations": [{"key": "llm", "operator": "Exists"}],
    "affinity": {"podAntiAffinity": {}},
    "topologySpreadConstraints": [
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}
    ],
    "priorityClassName": "high",
}
# Custom resources, whose schemas Kubernetes does not have.
CUSTOM = {"ExternalSecret", "ServiceMonitor"}
VERSIONS = ("1.25", "1.30", "1.35")

pytestmark = pytest.mark.skipif(not HELM, reason="needs helm on PATH; .ci/run installs it")


@pytest.fixture
def render(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """A function that runs `helm template` with values."""

    def run(values: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "values.yaml"
        file.write_text(yaml.safe_dump(values))
        command = [str(HELM), "template", "llm", str(CHART), "--namespace", "ai", "-f", str(file)]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return run


@pytest.fixture
def manifests(render: Any) -> Callable[..., dict[str, Any]]:
    """A function that returns the rendered objects by kind, one per kind."""

    def read(values: dict[str, Any]) -> dict[str, Any]:
        done = render(values)
        assert done.returncode == 0, done.stderr
        objects = [
            safe_load_all for safe_load_all in yaml.safe_load_all(done.stdout) if safe_load_all
        ]
        by_kind = {actual_object["kind"]: actual_object for actual_object in objects}
        assert len(by_kind) == len(objects)
        return by_kind

    return read


@pytest.mark.parametrize(
    "values", [{}, POSTGRESQL, EVERYTHING], ids=["sqlite", "postgresql", "all"]
)
def test_every_object_is_valid_kubernetes(manifests: Any, values: dict[str, Any]) -> None:
    validator = pytest.importorskip("kubernetes_validate", reason="uv sync --group manifests")
    objects = manifests(values)
    assert "Deployment" in objects
    for kind, value in objects.items():
        if kind not in CUSTOM:
            for version in VERSIONS:
                validator.validate(value, version, strict=True)


def test_sqlite_has_one_pod_and_a_volume(manifests: Any) -> None:
    objects = manifests({})
    assert set(objects) == {"Deployment", "PersistentVolumeClaim", "Service", "ServiceAccount"}
    spec = objects["Deployment"]["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})
    claim = spec["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim == objects["PersistentVolumeClaim"]["metadata"]["name"]


def test_everything_is_rendered_when_it_is_switched_on(manifests: Any) -> None:
    objects = manifests(EVERYTHING)
    assert set(objects) == {
        "ConfigMap",
        "Deployment",
        "ExternalSecret",
        "HorizontalPodAutoscaler",
        "Ingress",
        "Job",
        "NetworkPolicy",
        "PodDisruptionBudget",
        "Service",
        "ServiceAccount",
        "ServiceMonitor",
    }
    assert "replicas" not in objects["Deployment"]["spec"]
    secret = objects["ExternalSecret"]["spec"]["target"]["name"]
    (container,) = objects["Deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [{"secretRef": {"name": secret}}]
    (endpoint,) = objects["ServiceMonitor"]["spec"]["endpoints"]
    assert endpoint["authorization"]["credentials"]["name"] == secret
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    assert environment["DRAGOMAN_ALLOWED_HOSTS"].startswith("llm.example.com,")
    assert environment["DRAGOMAN_TRUSTED_PROXIES"] == "10.0.0.0/8"
    config = objects["ConfigMap"]
    assert config["data"] == {"config.yaml": EVERYTHING["config"]}
    volumes = objects["Deployment"]["spec"]["template"]["spec"]["volumes"]
    assert {"name": "config", "configMap": {"name": config["metadata"]["name"]}} in volumes


def test_migrations_run_before_the_pods_with_the_same_secret(manifests: Any) -> None:
    objects = manifests({"database": {"kind": "postgresql"}, "secrets": {"values": SECRETS}})
    job, secret = objects["Job"], objects["Secret"]
    annotations = job["metadata"]["annotations"], secret["metadata"]["annotations"]
    assert [annotation["helm.sh/hook"] for annotation in annotations] == [
        "pre-install,pre-upgrade"
    ] * 2
    weights = [int(annotation.get("helm.sh/hook-weight", 0)) for annotation in annotations]
    assert weights[1] < weights[0]
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["args"] == ["migrate", "--no-input"]
    assert container["envFrom"] == [{"secretRef": {"name": secret["metadata"]["name"]}}]
    # A service selects the pods of the deployment, and not the job's.
    selector = objects["Service"]["spec"]["selector"]
    assert not selector.items() <= job["spec"]["template"]["metadata"]["labels"].items()


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["sqlite", "all"])
def test_every_container_is_confined(manifests: Any, values: dict[str, Any]) -> None:
    for kind, manifest in manifests(values).items():
        if kind not in {"Deployment", "Job"}:
            continue
        pod = manifest["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        (container,) = pod["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {"/data", "/tmp"} <= writable


def test_the_command_and_settings_exist_and_pods_have_time_to_drain(manifests: Any) -> None:
    pod = manifests(EVERYTHING)["Deployment"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    command_arguments, *options = container["args"]
    assert command_arguments == "up"
    assert Command().create_parser("manage.py", "up").parse_args(options).workers == 2
    environment = {entry["name"]: entry["value"] for entry in container["env"]}
    documented = (CHART.parents[2] / "docs" / "settings.md").read_text()
    assert [name for name in environment if f"`{name}`" not in documented] == []
    wait = int(environment["DRAGOMAN_DRAIN_WAIT"]) + settings.DRAIN_S
    assert pod["terminationGracePeriodSeconds"] > wait
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert schema["properties"]["terminationGracePeriodSeconds"]["minimum"] > wait


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"replicaCount": 2}, "SQLite allows one pod"),
        ({"autoscaling": {"enabled": True}}, "SQLite allows one pod"),
        ({"database": {"kind": "postgresql"}}, "PostgreSQL needs a secret"),
        (
            {"database": {"kind": "postgresql"}, "secrets": {"values": {"DATABASE_URL": "x"}}},
            "secrets.values has no DRAGOMAN_SECRET_KEY",
        ),
        ({"secrets": {"existingSecret": "a", "values": {"B": "c"}}}, "set one of"),
        ({"serviceMonitor": {"enabled": True}}, "DRAGOMAN_ADMIN_KEY"),
        ({"database": {"kind": "mysql"}}, "database"),
        ({"replicaCounts": 2}, "replicaCounts"),
        ({"workers": 0}, "workers"),
        ({"ingress": {"enabled": True}}, "hosts"),
        ({"secrets": {"externalSecret": {"enabled": True}}}, "externalSecret"),
        ({"environment": {"not a name": "x"}}, "not a name"),
        ({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds"),
        ({"persistence": {"size": "much"}}, "size"),
    ],
)
def test_values_that_cannot_work_are_refused(
    render: Any, values: dict[str, Any], reason: str
) -> None:
    done = render(values)
    assert done.returncode != 0
    assert reason in done.stderr


def test_every_value_has_a_schema() -> None:
    """The schema refuses unlisted values, so it must have all of them."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    schema = json.loads((CHART / "values.schema.json").read_text())

    def compare(result: Any, described: Any, path: str) -> list[str]:
        if not isinstance(result, dict) or "properties" not in described:
            return []
        names = described["properties"]
        problems = [f"{path}.{name}" for name in set(result) ^ (set(names) - {"global", "claims"})]
        for name in set(result) & set(names):
            problems += compare(result[name], names[name], f"{path}.{name}")
        return problems

    assert compare(values, schema, "") == []
