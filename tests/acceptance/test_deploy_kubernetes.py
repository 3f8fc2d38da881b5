"""deploy/kubernetes: rendered by kustomize, held against the schemas of Kubernetes, and against itself."""

import base64
import itertools
import json
import os
import re
import shutil
import subprocess
from contextlib import ExitStack

import httpx
import kubernetes_validate
import pytest
import yaml

from distfile_mirror.config import load_config
from distfile_mirror.downloaders import repairs
from distfile_mirror.downloaders.loop import STORED_FOR_EACH
from distfile_mirror.supervisor import KILL_AFTER_GRACE_SECONDS
from tests.acceptance import known_settings
from tests.acceptance.pages import ROOT, blocks
from tests.acceptance.running_components import watched
from tests.acceptance.running_mirror import PROGRAM, RunningMirror, clean_environment
from tests.requirements import skip

PAGE = "docs/howto/deploy-on-kubernetes.md"
FOLDER = ROOT / "deploy" / "kubernetes"
COMPONENTS = ["cron", "load-balancer", "admin-egress"]
OLDEST = "1.25"
OLDEST_KUBECTL = (1, 22)
WATCHED = ["cron-download-files", "cron-download-containers", "verify"]
ENV_FILES = ["migrate", "web-proxy", "web-admin", *WATCHED]
WORKLOADS = {
    "Deployment": lambda spec: spec["template"],
    "Job": lambda spec: spec["template"],
    "CronJob": lambda spec: spec["jobTemplate"]["spec"]["template"],
}
# A cluster that is not there, as kubectl is told of one.
NOBODY = {
    "apiVersion": "v1",
    "kind": "Config",
    "clusters": [{"name": "nobody", "cluster": {"server": "http://127.0.0.1:1"}}],
    "contexts": [{"name": "nobody", "context": {"cluster": "nobody", "user": ""}}],
    "current-context": "nobody",
}
EVERYWHERE = {"0.0.0.0/0", "::/0"}


def kubectl_version():
    if not shutil.which("kubectl"):
        skip("kubectl is not installed (Debian: kubernetes-client)")
    done = subprocess.run(
        ["kubectl", "version", "--client", "--output", "json"], capture_output=True, text=True, check=True
    )
    found = json.loads(done.stdout)["clientVersion"]
    return tuple(int(re.match(r"\d+", found[part])[0]) for part in ("major", "minor"))


@pytest.fixture(scope="module")
def render(tmp_path_factory):
    """Return a function: which components are on -> all objects, of the example with the files that a user makes."""
    if kubectl_version() < OLDEST_KUBECTL:
        skip("kubectl is older than 1.22, and knows no components")
    checkout = tmp_path_factory.mktemp("checkout")
    shutil.copytree(FOLDER, checkout / "deploy" / "kubernetes")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "\n".join(block for block in blocks(PAGE) if "docker" not in block)],
        cwd=checkout,
        env=clean_environment(PATH=f"{PROGRAM.parent}:{os.environ['PATH']}"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.splitlines()[-1]) > len(ENV_FILES)
    example = checkout / "my-mirror" / "overlays" / "example"
    assert {path.stem for path in (example / "secrets").glob("*.env")} == set(ENV_FILES)
    assert not [
        path for path in (example / "secrets").iterdir() if path.stat().st_mode & 0o077 and path.suffix != ".pem"
    ]
    text = (example / "kustomization.yaml").read_text()

    def rendered(*components):
        chosen = "".join(f"  - ../../components/{name}\n" for name in components)
        (example / "kustomization.yaml").write_text(text + (f"\ncomponents:\n{chosen}" if chosen else ""))
        done = subprocess.run(
            ["kubectl", "kustomize", example], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        return list(yaml.safe_load_all(done.stdout))

    rendered.folder = example
    return rendered


@pytest.fixture(scope="module", params=["plain", "with all components"])
def objects(request, render):
    return render(*(COMPONENTS if request.param != "plain" else ()))


def test_kubectl_takes_the_lines_for_a_cluster(render, tmp_path):
    """As far as that goes where no cluster answers: no flag is unknown, and what they name is there."""
    page = (ROOT / PAGE).read_text()
    lines = re.findall(r"^(?:echo .* \| )?(kubectl (?!kustomize).*(?:\\\n.*)?)$", page, re.MULTILINE)
    assert len(lines) == 6
    there = {f"{each['kind'].lower()}/{name_of(each)}" for each in render()}
    named = set(re.findall(r"(?:job|deployment)/[\w-]+", " ".join(lines)))
    named |= {f"job/{name}" for name in re.findall(r"delete job ([\w-]+)", " ".join(lines))}
    assert named <= there
    assert named
    (tmp_path / "config").write_text(json.dumps(NOBODY))
    for line in lines:
        done = subprocess.run(
            ["bash", "-c", line],
            cwd=render.folder,
            env=clean_environment(KUBECONFIG=str(tmp_path / "config")),
            input="",
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode != 0
        assert re.search("refused|[Uu]nable to connect", done.stderr), done.stderr


def of(objects, *kinds):
    return [each for each in objects if each["kind"] in kinds]


def name_of(each):
    return each["metadata"]["name"]


def pods(objects):
    """Return the pod templates by the name of what makes them."""
    return {name_of(each): WORKLOADS[each["kind"]](each["spec"]) for each in of(objects, *WORKLOADS)}


def containers(objects):
    return {name: template["spec"]["containers"][0] for name, template in pods(objects).items()}


def selects(selector, labels):
    """Tell whether a selector with matchLabels and In selects ``labels``."""
    for expression in selector.get("matchExpressions", ()):
        assert expression["operator"] == "In"
        if labels.get(expression["key"]) not in expression["values"]:
            return False
    return selector.get("matchLabels", {}).items() <= labels.items()


def component_of(template):
    return template["metadata"]["labels"]["app.kubernetes.io/component"]


@pytest.mark.parametrize("version", [OLDEST, ".".join(kubernetes_validate.latest_version().split(".")[:2])])
def test_kubernetes_takes_them(objects, version):
    for each in objects:
        kubernetes_validate.validate(each, version, strict=True)


def test_a_misspelt_field_would_be_found(objects):
    [job] = of(objects, "Job")
    wrong = json.loads(json.dumps(job))
    wrong["spec"]["backofLimit"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, OLDEST, strict=True)


def test_every_component_of_the_example_is_tested():
    named = re.findall(r"components/([\w-]+)", (FOLDER / "overlays" / "example" / "kustomization.yaml").read_text())
    assert set(named) == set(COMPONENTS) == {path.name for path in (FOLDER / "components").iterdir()}


def test_all_are_in_the_namespace(objects):
    [namespace] = of(objects, "Namespace")
    assert {each["metadata"]["namespace"] for each in objects if each is not namespace} == {name_of(namespace)}
    assert len({(each["kind"], name_of(each)) for each in objects}) == len(objects)


def test_selectors_select_pods(objects):
    labels = [template["metadata"]["labels"] for template in pods(objects).values()]
    for each in of(objects, "Deployment"):
        assert selects(each["spec"]["selector"], each["spec"]["template"]["metadata"]["labels"])
        spreads = each["spec"]["template"]["spec"].get("topologySpreadConstraints", ())
        assert bool(spreads) == is_many(each)
        for spread in spreads:
            assert spread["labelSelector"] == each["spec"]["selector"]
    selectors = [{"matchLabels": each["spec"]["selector"]} for each in of(objects, "Service")]
    selectors += [each["spec"]["selector"] for each in of(objects, "PodDisruptionBudget")]
    selectors += [each["spec"]["podSelector"] for each in of(objects, "NetworkPolicy")]
    for selector in selectors:
        assert any(selects(selector, each) for each in labels), selector
    stays = {name_of(each) for each in of(objects, "Deployment") if is_many(each)}
    assert {name_of(each) for each in of(objects, "PodDisruptionBudget")} == stays


def is_many(deployment):
    """Tell whether there is more than one pod of it, to be spread and to be counted when a node is drained."""
    return deployment["spec"].get("replicas") != 1


def test_ports_are_those_of_containers(objects):
    ports = {name: {port["name"] for port in each.get("ports", ())} for name, each in containers(objects).items()}
    services = {name_of(each): each["spec"]["ports"] for each in of(objects, "Service")}
    for name, offered in services.items():
        assert {port["targetPort"] for port in offered} == ports[name]
    for each in of(objects, "Ingress"):
        [rule] = each["spec"]["rules"]
        assert rule["host"] in each["spec"]["tls"][0]["hosts"]
        for path in rule["http"]["paths"]:
            backend = path["backend"]["service"]
            assert backend["port"]["name"] in {port["name"] for port in services[backend["name"]]}
    for each in of(objects, "NetworkPolicy"):
        chosen = [
            name
            for name, pod in pods(objects).items()
            if selects(each["spec"]["podSelector"], pod["metadata"]["labels"])
        ]
        named = {port["port"] for rule in each["spec"].get("ingress", ()) for port in rule["ports"]}
        assert all(named <= ports[name] for name in chosen)


def references(container, spec):
    """Yield (kind, name, keys) of what a pod needs to be there."""
    for source in container["envFrom"]:
        for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if field in source:
                yield kind, source[field]["name"], ()
    for volume in spec["volumes"]:
        if "secret" in volume:
            keys = () if volume["secret"].get("optional") else volume["secret"].get("items", ())
            yield "Secret", volume["secret"]["secretName"], [item["key"] for item in keys]
    yield "ServiceAccount", spec["serviceAccountName"], ()


def test_what_pods_refer_to_exists(objects):
    there = {(each["kind"], name_of(each)): each for each in objects}
    used = set()
    for name, template in pods(objects).items():
        container = containers(objects)[name]
        for kind, other, keys in references(container, template["spec"]):
            assert set(keys) <= set(there[kind, other].get("data", ()))
            used.add((kind, other))
        volumes = {volume["name"]: volume for volume in template["spec"]["volumes"]}
        assert {mount["name"] for mount in container["volumeMounts"]} == set(volumes)
    assert {key for key in there if key[0] in ("Secret", "ConfigMap", "ServiceAccount")} == used


def environment(objects, container):
    """Return what a container gets, as far as it is known before it runs."""
    found = {}
    for source in container["envFrom"]:
        if "configMapRef" in source:
            [settings] = [each for each in of(objects, "ConfigMap") if name_of(each) == source["configMapRef"]["name"]]
            found |= settings["data"]
        if "secretRef" in source:
            [secret] = [each for each in of(objects, "Secret") if name_of(each) == source["secretRef"]["name"]]
            found |= {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}
    return found | {each["name"]: each.get("value", "10.0.0.7") for each in container.get("env", ())}


def test_commands_and_settings_are_real(objects, monkeypatch):
    for name, container in containers(objects).items():
        assert known_settings.is_command(container["args"]), container["args"]
        assert name.removeprefix("distfile-mirror-") == container["args"][0]
        variables = environment(objects, container)
        assert not known_settings.unknown(variables)
        with monkeypatch.context() as patch:
            for variable in [variable for variable in os.environ if variable.startswith("DISTFILE_MIRROR_")]:
                patch.delenv(variable)
            for variable, value in variables.items():
                patch.setenv(variable, value)
            config = load_config()
        assert config.admin_url.startswith("https://")
        mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
        assert {str(config.data_dir), str(config.ca_dir)} - {"None"} <= mounts
        ports = {port["name"]: port["containerPort"] for port in container.get("ports", ())}
        listens = {"proxy": config.proxy_listen, "admin": config.admin_listen, "metrics": config.metrics_listen}
        assert ports == {port: listens[port].port for port in ports}
        assert config.blobs_url.startswith("s3://")
        assert f"//{container['args'][0]}:" in config.database_url
        assert bool(config.secret_key) == bool(config.metrics_token) == ("admin" in name)
        [data] = [volume["emptyDir"] for volume in pods(objects)[name]["spec"]["volumes"] if volume["name"] == "data"]
        if "proxy" in name:
            assert config.cache_bytes < bytes_of(data["sizeLimit"])
        if "download" in name:
            # Of images nothing is begun before the one before it is stored.
            at_once = config.download_concurrency_per_image if "containers" in name else 1 + STORED_FOR_EACH
            most = config.download_concurrency * at_once + repairs.AT_ONCE
            assert most * config.download_max_bytes < bytes_of(data["sizeLimit"])
        assert not config.proxy_listen.is_loopback
        assert not config.admin_listen.is_loopback
        assert config.metrics_listen is None or not config.metrics_listen.is_loopback


def bytes_of(quantity):
    return int(quantity.removesuffix("Gi")) << 30


def test_the_key_of_the_ca_is_the_proxy_s_alone(objects):
    have = set()
    for template in pods(objects).values():
        for volume in template["spec"]["volumes"]:
            secret = volume.get("secret", {})
            keys = {item["key"] for item in secret.get("items", ())} or {"ca.key"}
            if secret.get("secretName", "").startswith("distfile-mirror-ca") and "ca.key" in keys:
                have.add(component_of(template))
    assert have == {"web-proxy"}


def test_pods_are_restricted(objects):
    for name, template in pods(objects).items():
        spec, container = template["spec"], containers(objects)[name]
        assert len(spec["containers"]) == 1
        assert spec["automountServiceAccountToken"] is False
        assert spec["enableServiceLinks"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert all(volume["emptyDir"]["sizeLimit"] for volume in spec["volumes"] if "emptyDir" in volume)


def test_stopping_is_given_the_time_that_it_takes(objects):
    for each in of(objects, "Deployment"):
        spec, container = each["spec"]["template"]["spec"], containers(objects)[name_of(each)]
        grace = int(environment(objects, container)["DISTFILE_MIRROR_STOP_GRACE"]) + KILL_AFTER_GRACE_SECONDS
        before = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", "0"])
        assert spec["terminationGracePeriodSeconds"] >= grace + int(before[1])


def reached(objects, component):
    """Return the networks that egress rules open to a component, with the ports."""
    for each in of(objects, "NetworkPolicy"):
        labels = {"app.kubernetes.io/name": "distfile-mirror", "app.kubernetes.io/component": component}
        if selects(each["spec"]["podSelector"], labels):
            for rule in each["spec"].get("egress", ()):
                for to in rule.get("to") or [{"ipBlock": {"cidr": "0.0.0.0/0"}}]:
                    yield to.get("ipBlock", {}).get("cidr", "cluster"), rule.get("ports", "any")


def test_only_downloaders_reach_the_internet(render):
    for components, reach in (((), set()), (("admin-egress",), {"web-admin"})):
        objects = render(*components)
        reaching = {
            component_of(template)
            for template in pods(objects).values()
            if {network for network, _ports in reached(objects, component_of(template))} & EVERYWHERE
        }
        assert reaching == {"cron-download-files", "cron-download-containers"} | reach
        closed = [each["spec"] for each in of(objects, "NetworkPolicy") if each["spec"]["podSelector"] == {}]
        assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]
        assert {network for network, _ports in reached(objects, "web-proxy")} == {
            "cluster",
            "10.20.0.5/32",
            "10.20.0.6/32",
        }


def test_the_number_of_proxies_is_left_to_the_autoscaler(objects):
    [scaler] = of(objects, "HorizontalPodAutoscaler")
    [scaled] = [each for each in of(objects, "Deployment") if name_of(each) == scaler["spec"]["scaleTargetRef"]["name"]]
    assert "replicas" not in scaled["spec"]
    assert scaler["spec"]["minReplicas"] >= 2


def test_cron_jobs_take_the_place_of_the_downloaders_that_stay(render):
    plain, cron = render(), render("cron")
    assert {name_of(each) for each in of(cron, "CronJob")} == {
        name_of(each) for each in of(plain, "Deployment") if "cron" in name_of(each)
    }
    assert not [each for each in of(cron, "Deployment", "PodDisruptionBudget") if "cron" in name_of(each)]
    assert [each["args"][0] for each in containers(cron).values() if "--watch" in each["args"]] == ["verify"]


def test_the_load_balancer_is_wanted_explicitly(render):
    types = [of(render(*on), "Service") for on in ((), ("load-balancer",))]
    found = [{name_of(each)[16:]: each["spec"].get("type", "ClusterIP") for each in each_time} for each_time in types]
    assert found == [
        {"web-proxy": "ClusterIP", "web-admin": "ClusterIP"},
        {"web-proxy": "LoadBalancer", "web-admin": "ClusterIP"},
    ]


def test_probes_ask_what_is_answered(render, tmp_path):
    """As the kubelet asks: by the pod's address."""
    asked = {}
    for name, container in containers(render()).items():
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            if path := container.get(probe, {}).get("httpGet", {}).get("path"):
                asked.setdefault(name.removeprefix("distfile-mirror-"), set()).add(path)
    assert set(asked) == {"web-proxy", "web-admin", *WATCHED}
    environment = {"DISTFILE_MIRROR_ADMIN_HOSTS": "10.0.0.7"}
    with RunningMirror(tmp_path, environment=environment, flags=("--workers", "1")) as mirror, ExitStack() as stack:
        ports = {"web-proxy": mirror.proxy_port, "web-admin": mirror.admin_port}
        for name in WATCHED:
            ports[name] = stack.enter_context(watched(tmp_path, name, mirror.data))
        for component, path in itertools.chain(*(((name, path) for path in paths) for name, paths in asked.items())):
            answer = httpx.get(
                f"http://127.0.0.1:{ports[component]}{path}",
                headers={"Host": f"10.0.0.7:{ports[component]}"},
                trust_env=False,
            )
            assert answer.status_code == 200, (component, path)


def test_no_secret_is_committed():
    committed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", FOLDER],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert not [name for name in committed.stdout.split() if "/secrets/" in name]
    for path in FOLDER.rglob("*.yaml"):
        assert not [each for each in yaml.safe_load_all(path.read_text()) if each["kind"] == "Secret"]
