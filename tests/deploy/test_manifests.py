"""What deploy/ gives to run the gateway with: valid, hardened, and at one with itself and with the gateway."""

import re
import subprocess
import tomllib
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from packaging.requirements import Requirement

from proxy.policy.compiler import load
from tests.e2e.gateway import ROOT

DEPLOY = ROOT / "deploy"
MANIFESTS = sorted((DEPLOY / "kubernetes").rglob("*.yaml"))
KUBERNETES = "1.37"
ENV = {
    "SLUICEGATE_ADMIN_TOKEN": "0123456789abcdef",
    "REDIS_URL": "redis://redis:6379/0",
    "JWT_SECRET": "s" * 32,
    "POSTGRES_PASSWORD": "p",
}
RUNS_AS = 10001
WORKER_MIB = 160  # and once more for the parent and the background process


def resources(path: Path) -> list[dict[str, Any]]:
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


def everything() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in MANIFESTS:
        for one in resources(path):
            yield f"{path.parent.name}-{one['kind']}-{one['metadata']['name']}", one


def gateways() -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Pod and container of each gateway."""
    for _, one in everything():
        if one["kind"] == "Deployment":
            pod = one["spec"]["template"]["spec"]
            for container in [*pod.get("initContainers", []), *pod["containers"]]:
                if container["name"] == "sluicegate":
                    yield pod, container


@pytest.mark.parametrize(("name", "resource"), list(everything()), ids=[name for name, _ in everything()])
def test_manifests_are_valid(name: str, resource: dict[str, Any]) -> None:
    """By Kubernetes' own schemas, strictly; what is the operator's is looked at below."""
    if resource["apiVersion"] != "monitoring.coreos.com/v1":
        kubernetes_validate.validate(resource, KUBERNETES, strict=True)


def test_policies_of_manifests_and_of_compose_compile(tmp_path: Path) -> None:
    """Without a warning, so that nobody begins with one; a ConfigMap's keys are the files of its folder."""
    folders = [one["data"] for _, one in everything() if one["kind"] == "ConfigMap"]
    assert len(folders) == 2
    for files in (*folders, {"config.yaml": (DEPLOY / "compose/policy/config.yaml").read_text("utf-8")}):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        loaded = load(tmp_path / "config.yaml", ENV)
        assert loaded.warnings == ()
        assert loaded.policy.listen.address.host == "0.0.0.0"  # in a container loopback is nobody's
        assert loaded.policy.metrics is not None
        assert (loaded.policy.listen.address.port, loaded.policy.metrics.port) == (8080, 9902)


def test_workers_are_as_many_as_fit_into_the_memory_that_is_given() -> None:
    """By the sizing of deploy/README.md. Left out there would be one for each core of the machine."""
    policies = [yaml.safe_load(one["data"]["config.yaml"]) for _, one in everything() if one["kind"] == "ConfigMap"]
    policies.append(yaml.safe_load((DEPLOY / "compose/policy/config.yaml").read_text("utf-8")))
    given = [container["resources"]["limits"]["memory"].removesuffix("Mi") for _, container in gateways()]
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
    given.append(compose["services"]["sluicegate"]["mem_limit"].removesuffix("m"))
    for policy, mebibytes in zip(policies, given, strict=True):
        assert (policy["listen"]["workers"] + 1) * WORKER_MIB <= int(mebibytes)


def test_gateways_in_pods_are_hardened_probed_and_given_time() -> None:
    """Its own user, a root that is read only, no capability; ready and live; a grace above the drain's."""
    found = list(gateways())
    assert len(found) == 2
    for pod, container in found:
        context = pod["securityContext"] | container["securityContext"]
        assert context["runAsNonRoot"]
        assert context["runAsUser"] == context["runAsGroup"] == RUNS_AS
        assert context["readOnlyRootFilesystem"]
        assert not context["allowPrivilegeEscalation"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": 8080, "metrics": 9902}
        for probe, path in (("startup", "ready"), ("readiness", "ready"), ("liveness", "live")):
            assert container[f"{probe}Probe"]["httpGet"] == {"path": f"/health/{path}", "port": "metrics"}
        assert set(container["resources"]["requests"]) == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]
        assert pod["terminationGracePeriodSeconds"] > 30 + container["lifecycle"]["preStop"]["sleep"]["seconds"]
        mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
        assert "subPath" not in mounts["/etc/sluicegate"], "a changed ConfigMap would never arrive"
        assert {"/var/lib/sluicegate", "/tmp"} <= mounts.keys()
        assert set(mounts) >= {"/etc/sluicegate"}
        assert {mount["name"] for mount in mounts.values()} == {volume["name"] for volume in pod["volumes"]}


def test_selectors_find_what_they_are_for() -> None:
    """Services, disruption budgets and network policies select pods that there are, by ports that they have."""
    pods = [one["spec"]["template"] for _, one in everything() if one["kind"] == "Deployment"]

    def selected(labels: dict[str, str]) -> list[dict[str, Any]]:
        return [pod for pod in pods if labels.items() <= pod["metadata"]["labels"].items()]

    for name, one in everything():
        spec = one.get("spec", {})
        match one["kind"]:
            case "Service":
                (pod,) = selected(spec["selector"])
                containers = [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]
                names = {port["name"] for container in containers for port in container.get("ports", [])}
                assert {port["targetPort"] for port in spec["ports"]} <= names, name
            case "PodDisruptionBudget":
                assert selected(spec["selector"]["matchLabels"]), name
            case "NetworkPolicy":
                assert selected(spec["podSelector"]["matchLabels"]), name


INSIDE = {"postgresql": "10.0.9.9", "redis": "10.0.9.8", "opentelemetry-collector": "10.0.9.7"}  # pods
REACHED = [
    ("Redis beside it", "redis", 6379),
    ("its Sentinels", "redis", 26379),
    ("PostgreSQL beside it", "postgresql", 5432),
    ("a collector beside it", "opentelemetry-collector", 4318),
    ("a managed Redis, by TLS", "10.1.2.3", 6380),
    ("managed Sentinels", "172.20.1.1", 26379),
    ("a managed PostgreSQL", "192.168.7.7", 5432),
    ("a pooler outside", "203.0.113.9", 6543),
    ("an issuer's keys", "203.0.113.9", 443),
    ("e-mail by STARTTLS", "203.0.113.9", 587),
    ("e-mail by TLS", "203.0.113.9", 465),
]
NOT_REACHED = [
    ("the cloud's metadata", "169.254.169.254", 80),
    ("the cloud's metadata by TLS", "169.254.169.254", 443),
    ("another pod's own port", "10.1.2.3", 8080),
    ("what an attacker would listen on", "203.0.113.9", 4444),
    ("plain e-mail", "203.0.113.9", 25),
]


def lets_out(to: str, port: int) -> bool:
    """Whether the edge's network policy does; ``to``: an address, or the name of an app's pods."""
    (policy,) = [one for _, one in everything() if one["kind"] == "NetworkPolicy" and "egress" in one["spec"]]

    def includes(peer: dict[str, Any]) -> bool:
        if "ipBlock" in peer:
            blocks = [peer["ipBlock"]["cidr"], *peer["ipBlock"].get("except", ())]
            address = ip_address(INSIDE.get(to, to))
            inside, *excepted = [address in ip_network(block) for block in blocks]
            return inside and not any(excepted)
        return bool(peer.get("podSelector", {}).get("matchLabels") == {"app.kubernetes.io/name": to})

    return any(
        port in {one["port"] for one in rule["ports"]} and any(map(includes, rule["to"]))
        for rule in policy["spec"]["egress"]
    )


@pytest.mark.parametrize(("what", "to", "port"), REACHED)
def test_the_edge_is_let_out_to_what_a_policy_may_name(what: str, to: str, port: int) -> None:
    assert lets_out(to, port), what


@pytest.mark.parametrize(("what", "to", "port"), NOT_REACHED)
def test_the_edge_is_let_out_to_nothing_else(what: str, to: str, port: int) -> None:
    assert not lets_out(to, port), what


def test_the_service_monitor_finds_the_metrics_under_the_rules_job() -> None:
    """Its selector, its port, and a job called as the rules have it."""
    (monitor,) = resources(DEPLOY / "kubernetes/edge/servicemonitor.yaml")
    labels = monitor["spec"]["selector"]["matchLabels"]
    services = [
        one
        for _, one in everything()
        if one["kind"] == "Service" and labels.items() <= one["metadata"]["labels"].items()
    ]
    (service,) = services
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert endpoint["path"] == "/metrics"
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "sluicegate"


def test_compose_names_what_there_is() -> None:
    """Files that are mounted, services that are waited for, volumes; nothing but the gateway is open to the world."""
    compose = yaml.safe_load((DEPLOY / "compose/compose.yaml").read_text("utf-8"))
    services = compose["services"]
    assert set(services) == {"sluicegate", "migrate", "app", "redis", "postgres", "prometheus", "grafana"}
    used = set()
    for name, service in services.items():
        assert set(service.get("depends_on", {})) <= set(services)
        for volume in service.get("volumes", []):
            source, target = volume.split(":")[:2]
            assert not target.startswith("/etc/sluicegate/"), "a file that is mounted keeps its old content"
            if source.startswith("."):
                assert (DEPLOY / "compose" / source).exists(), source
            else:
                used.add(source)
        for port in service.get("ports", []):
            assert port == "8080:8080" or port.startswith("127.0.0.1:"), f"{name}: {port}"
        assert name == "postgres" or (service["read_only"] and service["cap_drop"] == ["ALL"])
    assert used == set(compose["volumes"])
    assert {"--appendonly", "noeviction"} <= set(services["redis"]["command"])
    for file in ("grafana-provisioning.yaml", "grafana-dashboards.yaml"):
        assert yaml.safe_load((DEPLOY / "compose" / file).read_text("utf-8"))["apiVersion"] == 1


def test_the_runbooks_commands_for_kubernetes_name_what_there_is() -> None:
    """Pods by their label and container, the deployment, the ConfigMap and its keys."""
    page = (ROOT / "docs/operations.md").read_text("utf-8")
    edge = {one["kind"]: one for one in resources(DEPLOY / "kubernetes/edge/sluicegate.yaml")[:3]}
    deployment, configured = edge["Deployment"], edge["ConfigMap"]
    template = deployment["spec"]["template"]
    logs = re.findall(r"kubectl logs -l ([^= ]+)=(\S+) -c (\S+) --tail=-1", page)
    assert len(logs) >= 2
    for label, value, container in logs:
        assert template["metadata"]["labels"][label] == value
        assert container in {one["name"] for one in template["spec"]["containers"]}
    assert set(re.findall(r"kubectl \w+ deploy/(\S+)", page)) == {deployment["metadata"]["name"]}
    assert set(re.findall(r"kubectl edit configmap ([a-z]+)", page)) == {configured["metadata"]["name"]}
    assert "tenants.yaml" in configured["data"]


def test_what_docker_is_told_to_mount_is_a_folder() -> None:
    """The same page says why; a gateway would go on by the old policy for good."""
    mounted = re.findall(r"-v \S+?:(/etc/\S+?):", (DEPLOY / "README.md").read_text("utf-8"))
    assert mounted == ["/etc/sluicegate"]


@pytest.mark.full
def test_systemd_finds_nothing_to_say_of_the_unit(tmp_path: Path) -> None:
    """And takes it for hardened: an exposure below 2 of 10."""
    text = (DEPLOY / "systemd/sluicegate.service").read_text("utf-8")
    unit = tmp_path / "sluicegate.service"
    unit.write_text(re.sub(r"/opt/sluicegate/bin/sluicegate \S.*", "/bin/true", text), "utf-8")
    verified = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, check=False
    )
    assert (verified.returncode, verified.stderr) == (0, "")
    judged = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.returncode == 0, judged.stdout


def test_the_image_installs_what_the_project_asks_for() -> None:
    """One version of each dependency, within its bounds: what is not pinned would be another one tomorrow."""
    lines = (DEPLOY / "constraints.txt").read_text("utf-8").splitlines()
    pinned = dict(line.lower().replace("_", "-").split("==") for line in lines if "==" in line)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = project["optional-dependencies"]
    for text in (*project["dependencies"], *extras["otlp"], *extras["postgres"]):
        wanted = Requirement(text)
        version = pinned[wanted.name.lower().replace("_", "-")]
        assert wanted.specifier.contains(version), f"{text}: {version}"


def test_the_image_is_made_of_what_it_needs_and_runs_as_nobody_much() -> None:
    """Everything that is copied is let through to the build, and nothing else; the last stage has no build."""
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    build, _, last = dockerfile.partition("\nFROM ${PYTHON_IMAGE}\n")
    copied = {name for line in re.findall(r"^COPY (.+) \S+$", build, re.MULTILINE) for name in line.split()}
    ignored = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied
    assert all((ROOT / name).exists() for name in copied)
    assert f"USER {RUNS_AS}:{RUNS_AS}" in last
    assert "HEALTHCHECK" in last
    assert not re.search(r"\b(pip|gcc|apt-get)\b", last)
