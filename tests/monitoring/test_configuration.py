"""What Docker, Railway and a shell read; and the entrypoint of Prometheus."""

import json
import re

import pytest
import yaml

from entrypoints import SHELLS, run_alone
from places import ALERTMANAGER, GRAFANA, MONITORING, PROMETHEUS, ROOT, passes

SERVICES = [PROMETHEUS, ALERTMANAGER, GRAFANA]
TEXTS = [file for file in sorted(MONITORING.rglob("*")) if file.is_file() and "__pycache__" not in file.parts]


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_a_service_passes_the_linters(folder):
    passes("hadolint", folder / "Dockerfile")
    passes("shellcheck", folder / "entrypoint.sh")
    schema = ROOT / "tests" / "image" / "railway.schema.json"
    passes("check-jsonschema", "--schemafile", schema, folder / "railway.toml")


@pytest.mark.parametrize("folder", SERVICES, ids=lambda folder: folder.name)
def test_every_file_that_is_copied_into_an_image_is_there(folder):
    for line in re.findall(r"^COPY (?:--\S+ )*(.+) \S+$", (folder / "Dockerfile").read_text(), re.M):
        for source in line.split():
            assert list(folder.glob(source)), f"{folder.name}/Dockerfile copies {source}"


def compose(*arguments, **environment):
    command = ["docker-compose", "--file", MONITORING / "docker-compose.yml", *arguments]
    return json.loads(passes(*command, environment=environment))


def test_compose_accepts_the_file_with_nothing_set_and_serves_this_machine_alone():
    passes("docker-compose", "--file", MONITORING / "docker-compose.yml", "config", "--quiet")
    services = compose("config", "--format", "json")["services"]
    assert set(services) == {"gateway", "prometheus", "alertmanager", "grafana"}
    for name, service in services.items():
        assert all(port["host_ip"] == "127.0.0.1" for port in service["ports"]), name
    assert services["gateway"]["command"] == ["demo", "--traffic", "--host", "0.0.0.0"]
    tokens = {services[name]["environment"]["METRICS_TOKEN"] for name in ("gateway", "prometheus")}
    assert len(tokens) == 1


def test_compose_hands_a_token_of_ones_own_to_both():
    services = compose("config", "--format", "json", METRICS_TOKEN="mine", GATEWAYZ_COMMAND="serve")["services"]
    assert services["gateway"]["command"] == ["serve"]
    assert {services[name]["environment"]["METRICS_TOKEN"] for name in ("gateway", "prometheus")} == {"mine"}


def test_what_everybody_knows_is_in_the_compose_file_alone():
    known = re.compile(r"demo-(token|key)\b")
    shipped = [file.relative_to(MONITORING).as_posix() for file in TEXTS if known.search(file.read_text())]
    assert shipped == ["README.md", "docker-compose.yml"], "a service that is deployed has no default for a secret"


def test_grafana_gets_no_defaults_in_variables_which_it_does_not_know():
    for file in GRAFANA.glob("provisioning/**/*.yml"):
        assert yaml.safe_load(file.read_text())["apiVersion"] == 1
        assert ":-" not in file.read_text(), file


def test_no_secret_and_no_address_of_a_person_is_in_any_file():
    for file in TEXTS:
        text = file.read_text()
        assert not re.search(r"(sk-[A-Za-z0-9]{8}|gw_live_|xox[bp]-|hooks\.slack\.com/services/T)", text), file
        found = re.findall(r"[\w.+-]+@[\w-]+\.[\w.]+", text)
        assert all(address.endswith(("example.com", ".invalid")) for address in found), (file, found)


# --- The entrypoint of Prometheus ---


@pytest.fixture(params=SHELLS)
def laid_out(request, tmp_path):
    """Runs it: exit code, output and the folder that it wrote."""

    def run(environment):
        run = tmp_path / "run"
        environment = {"PROMETHEUS_RUN": str(run)} | environment
        entrypoint = PROMETHEUS / "entrypoint.sh"
        return *run_alone(tmp_path, request.param, entrypoint, "promtool", "prometheus", environment), run

    return run


def jobs(run):
    return {job["job_name"]: job for job in yaml.safe_load((run / "prom.yml").read_text())["scrape_configs"]}


@pytest.mark.parametrize("scrape, job", [("private", "private"), ("public", "staging"), ("local", "local")])
def test_exactly_one_job_of_the_gateway_is_on(laid_out, scrape, job):
    environment = {"METRICS_TOKEN": "secret", "SCRAPE": scrape, "SCRAPE_TARGET": "gateway.test:8443"}
    code, output, run = laid_out(environment)
    assert code == 0, output
    assert set(jobs(run)) == {f"gatewayz_{job}", "prometheus", "alertmanager"}
    shipped = yaml.safe_load((PROMETHEUS / "prom.yml").read_text())
    (expected,) = (entry for entry in shipped["scrape_configs"] if entry["job_name"] == f"gatewayz_{job}")
    if scrape == "private":
        (expected["dns_sd_configs"][0]["names"], expected["dns_sd_configs"][0]["port"]) = (["gateway.test"], 8443)
    else:
        (targets,) = json.loads((run / "targets" / f"gatewayz_{job}.json").read_text())
        assert targets == {"targets": ["gateway.test:8443"]}
    assert jobs(run)[f"gatewayz_{job}"] == expected


def test_left_alone_it_scrapes_every_replica_over_the_private_network(laid_out):
    code, output, run = laid_out({"METRICS_TOKEN": "secret", "RAILWAY_ENVIRONMENT_NAME": "production"})
    assert code == 0, output
    (found,) = jobs(run)["gatewayz_private"]["dns_sd_configs"]
    assert (found["names"], found["type"], found["port"]) == (["gatewayz.railway.internal"], "AAAA", 8080)
    assert "ENVIRONMENT=production" in output.splitlines()
    assert "argument --storage.tsdb.retention.time=35d" in output.splitlines()
    assert output.splitlines()[-1] == "argument --further"


def test_the_token_is_in_a_file_that_nobody_else_reads_and_nowhere_else(laid_out):
    token = "a|b&c\\d'e\"f"
    code, output, run = laid_out({"METRICS_TOKEN": token, "SCRAPE": "local"})
    assert code == 0 and token not in output
    file = run / "secrets" / "metrics_token"
    assert file.read_text() == token and file.stat().st_mode & 0o077 == 0
    assert token not in (run / "prom.yml").read_text()


def test_by_https_the_port_may_be_left_out(laid_out):
    code, output, run = laid_out({"METRICS_TOKEN": "t", "SCRAPE": "public", "SCRAPE_TARGET": "gateway.test"})
    assert code == 0, output
    assert json.loads((run / "targets" / "gatewayz_staging.json").read_text()) == [{"targets": ["gateway.test"]}]


def test_addresses_that_end_in_a_slash_do_not_get_a_second_one(laid_out):
    addresses = {"GRAFANA_URL": "https://grafana.test/", "RUNBOOKS_URL": "https://example.test/a%20b/"}
    code, output, _ = laid_out({"METRICS_TOKEN": "t"} | addresses)
    assert code == 0, output
    assert {"GRAFANA_URL=https://grafana.test", "RUNBOOKS_URL=https://example.test/a%20b"} <= set(output.splitlines())


@pytest.mark.parametrize(
    "environment, complaint",
    [
        ({}, "set METRICS_TOKEN"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "both"}, "SCRAPE is private, public or local, not 'both'"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "public"}, "SCRAPE_TARGET is HOST:PORT"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "public", "SCRAPE_TARGET": "https://a.test"}, "SCRAPE_TARGET is HOST:PORT"),
        ({"METRICS_TOKEN": "t", "SCRAPE_TARGET": "a.test"}, "SCRAPE_TARGET needs a port; got 'a.test'"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "local", "SCRAPE_TARGET": "gateway"}, "SCRAPE_TARGET needs a port"),
        ({"METRICS_TOKEN": "t", "SCRAPE_TARGET": "a.test:"}, "port of SCRAPE_TARGET"),
        ({"METRICS_TOKEN": "t", "SCRAPE_TARGET": "a.test:http"}, "port of SCRAPE_TARGET"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "local", "SCRAPE_TARGET": "a.test:0"}, "port of SCRAPE_TARGET"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "public", "SCRAPE_TARGET": "a.test:65536"}, "got 'a.test:65536'"),
        ({"METRICS_TOKEN": "t", "SCRAPE_TARGET": "a.test:99999999999999999999"}, "port of SCRAPE_TARGET"),
        ({"METRICS_TOKEN": "t", "SCRAPE": "public", "SCRAPE_TARGET": "a.test/metrics"}, "without a scheme or a path"),
        ({"METRICS_TOKEN": "t", "ALERTMANAGER_TARGET": 'a"b'}, "ALERTMANAGER_TARGET is HOST:PORT"),
        ({"METRICS_TOKEN": "t", "ALERTMANAGER_TARGET": "alertmanager"}, "ALERTMANAGER_TARGET needs a port"),
        ({"METRICS_TOKEN": "t", "PORT": "x"}, "PORT is a number"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_starts(laid_out, environment, complaint):
    code, output, run = laid_out(environment)
    assert code == 1 and complaint in output and "argument" not in output
    assert not (run / "prom.yml").exists()
