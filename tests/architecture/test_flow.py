"""`schemas/topics.py` states the flow once: the command, the compose file, the image and the docs are held to it."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer.main
import yaml

from schemas.topics import FLOW, STAGES
from services.cli import app, channels, data, ops, sources
from services.cli.compose import consumes, shows
from services.migrations import run as migrations
from services.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: one for name, one in SERVICES.items() if "lead-router" in str(one.get("image"))}
SETTINGS = {f"LEAD_ROUTER_{name.upper()}": field for name, field in Settings.model_fields.items()}
# Read by the command itself, before or beside the settings.
# What the compose file decides by itself (stop_grace_period goes with SHUTDOWN_S), and files that would have to be mounted.
COMPOSED = {
    f"LEAD_ROUTER_{name}"
    for name in (
        "HOST", "PORT", "DATA_DIR", "ENVIRONMENT", "DATABASE_URL", "PG_BIN", "KAFKA", "KAFKA_REPLICATION", "KAFKA_MIN_ISR",
        "KAFKA_SECURITY_PROTOCOL", "KAFKA_SASL_MECHANISM", "KAFKA_USER", "KAFKA_PASSWORD", "KAFKA_CA_FILE",
        "APPLE_EGRESS_FILE", "CRASH_AT", "SHUTDOWN_S",
    )
}  # fmt: skip
BESIDE_SETTINGS = {"LEAD_ROUTER_EXAMPLES", "LEAD_ROUTER_VERSION"}


def commands() -> set[str]:
    assert data.policy, (channels.channels, ops.dead, sources.sources)  # imported so that they register their commands
    return set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


# -- the table itself


def test_every_stage_has_its_place_in_the_flow() -> None:
    for topic in FLOW:
        assert topic.writer in STAGES
        assert topic.reader in STAGES
        assert topic.writer != topic.reader, "a stage does not write to itself"
    assert {t.writer for t in FLOW} | {t.reader for t in FLOW} == set(STAGES)
    assert len({t.name for t in FLOW}) == len(FLOW)


# -- the command


def test_the_command_has_a_subcommand_for_every_stage() -> None:
    assert commands() >= {
        *STAGES,
        "up",
        "api",
        "migrate",
        "health",
        "lag",
        "dead",
        "explain",
        "demo",
        "token",
        "source",
    }


def test_a_mode_works_for_its_own_stage() -> None:
    assert consumes("up") == STAGES
    assert consumes("api") == ()
    assert shows("api") == STAGES
    for stage in STAGES:
        assert consumes(stage) == shows(stage) == (stage,)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_is_a_room_with_a_service(stage: str) -> None:
    assert (ROOT / "services" / stage / "service.py").is_file()


# -- docker-compose.yml


def test_compose_has_one_service_for_every_stage() -> None:
    assert set(STAGES) <= set(OURS)
    assert set(OURS) == {*STAGES, "migrate", "api"}
    assert set(SERVICES) == set(OURS) | {"kafka", "postgres"}


@pytest.mark.parametrize("name", OURS)
def test_a_compose_service_runs_a_command_that_exists(name: str) -> None:
    assert OURS[name]["command"] == [name]
    assert name in commands()
    assert "entrypoint" not in OURS[name], "the image's own entry point"
    assert OURS[name]["build"] == {"context": ".", "dockerfile": "deploy/Dockerfile"}


@pytest.mark.parametrize("name", OURS)
def test_a_compose_service_sets_only_what_is_a_setting(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = OURS[name]["environment"]
    assert set(environment) <= set(SETTINGS)
    assert all(isinstance(value, str) for value in environment.values()), "YAML numbers and booleans change their form"
    # Placeholders with their defaults, or as operators would fill them; then the settings must take them.
    filled = {
        key: re.sub(r"\$\{\w+(?::-(.*?)|:\?.*?)\}", lambda found: "x" if found[1] is None else found[1], value)
        for key, value in environment.items()
    }
    filled["LEAD_ROUTER_SECRET_KEY"] = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
    for key, value in filled.items():
        monkeypatch.setenv(key, value)
    settings = Settings()
    assert settings.environment == "production"
    assert settings.kafka == "kafka:9092"
    assert settings.database_url is not None


@pytest.mark.parametrize("name", OURS)
def test_a_compose_service_takes_every_other_setting_from_the_environment(name: str) -> None:
    environment = OURS[name]["environment"]
    given = {key for key, value in environment.items() if value.startswith(f"${{{key}:")}
    assert set(SETTINGS) - COMPOSED == given


def test_compose_waits_for_what_it_needs() -> None:
    for name, one in OURS.items():
        needs = {other: how["condition"] for other, how in one["depends_on"].items()}
        assert needs["postgres"] == "service_healthy"
        if name != "migrate":
            assert needs == {
                "migrate": "service_completed_successfully",
                "kafka": "service_healthy",
                "postgres": "service_healthy",
            }


def test_compose_checks_health_everywhere() -> None:
    for name, one in SERVICES.items():
        check = one["healthcheck"]
        if name == "migrate":
            assert check == {"disable": True}, "it ends by itself"
        else:
            assert check["test"][0] in ("CMD", "CMD-SHELL")
        if name in OURS and name != "migrate":
            assert check["test"] == ["CMD", "lead-router", "health"]


def test_compose_runs_two_of_every_stage() -> None:
    for stage in STAGES:
        assert OURS[stage]["deploy"]["replicas"] == 2
    for name, one in OURS.items():
        copies = one.get("deploy", {}).get("replicas", 1)
        for port in one.get("ports", ()):
            outside, inside = port.split(":")
            first, _, last = outside.partition("-")
            assert int(last or first) - int(first) + 1 == copies, f"{name}: a port for each replica"
            assert inside == one["environment"]["LEAD_ROUTER_PORT"]


def test_compose_gives_a_stage_enough_partitions_and_time_to_stop() -> None:
    for name, one in OURS.items():
        partitions = re.fullmatch(r"\$\{LEAD_ROUTER_PARTITIONS:-(\d+)\}", one["environment"]["LEAD_ROUTER_PARTITIONS"])
        assert partitions
        assert int(partitions[1]) >= one.get("deploy", {}).get("replicas", 1)
        grace = int(one["stop_grace_period"].removesuffix("s"))
        assert grace > Settings.model_fields["shutdown_s"].default, f"{name}: killed before it has finished"


def test_compose_runs_the_stages_with_little_power() -> None:
    for one in OURS.values():
        assert one["read_only"] is True
        assert one["cap_drop"] == ["ALL"]
        assert one["security_opt"] == ["no-new-privileges:true"]
        # What the process writes to must belong to the image's user.
        assert one["tmpfs"] == ["/tmp", f"/data:mode=0700,uid={user()[0]},gid={user()[1]}"]


def test_compose_keeps_its_secrets_outside() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    for secret in ("POSTGRES_PASSWORD", "LEAD_ROUTER_SECRET_KEY"):
        assert f"${{{secret}:?" in text
        assert secret in (ROOT / ".env.example").read_text()
    assert set(re.findall(r"\$\{(LEAD_ROUTER_\w+)", text)) <= set(SETTINGS) | BESIDE_SETTINGS
    assert ".env" in (ROOT / ".dockerignore").read_text().splitlines()
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_compose_keeps_data_in_volumes() -> None:
    assert {v.split(":")[0] for name in ("kafka", "postgres") for v in SERVICES[name]["volumes"]} == set(
        COMPOSE["volumes"]
    )


def test_compose_runs_kafka_without_zookeeper_and_leaves_topics_to_us() -> None:
    environment = SERVICES["kafka"]["environment"]
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    assert environment["KAFKA_ADVERTISED_LISTENERS"].endswith("//kafka:9092")
    assert int(SERVICES["kafka"]["image"].split(":")[1].split(".")[0]) >= 4
    assert int(SERVICES["postgres"]["image"].split(":")[1]) >= 15


# -- deploy/Dockerfile


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"(?m)^\s*#.*\n", "", (ROOT / "deploy" / "Dockerfile").read_text())
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(word, rest.strip()) for line in lines if line.strip() for word, _, rest in [line.strip().partition(" ")]]


def stages_of_build() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def last(word: str) -> str:
    return [rest for name, rest in stages_of_build()[-1] if name == word][-1]


def user() -> tuple[int, int]:
    uid, _, gid = last("USER").partition(":")
    return int(uid), int(gid)


def test_the_image_is_slim_and_made_in_two_steps() -> None:
    bases = [rest.split()[0] for word, rest in instructions() if word == "FROM"]
    assert len(bases) == 2
    for base in bases:
        version = re.fullmatch(r"python:3\.(\d+)-slim", base)
        assert version, f"{base}: no musl wheels of what we need, so slim and not alpine"
        assert int(version[1]) >= 11


def test_the_image_runs_as_nobody_in_particular() -> None:
    uid, gid = user()
    assert uid > 1000, "root, or a user of the base image"
    made = " ".join(rest for word, rest in stages_of_build()[-1] if word == "RUN")
    assert f"--uid {uid}" in made
    assert f"--gid {gid}" in made
    assert "-o lead -g lead /data" in made, "the data folder belongs to that user"
    assert last("WORKDIR") == "/data"


def test_the_image_starts_the_command_and_asks_it_for_its_health() -> None:
    assert last("ENTRYPOINT") == '["lead-router"]'
    assert last("CMD") == '["up"]'
    assert last("HEALTHCHECK").endswith('CMD ["lead-router", "health"]')
    assert {"health", "up"} <= commands()
    assert last("STOPSIGNAL") == "SIGTERM"


def test_the_image_installs_what_is_pinned_with_hashes() -> None:
    build = " ".join(rest for word, rest in stages_of_build()[0] if word == "RUN")
    assert "--require-hashes -r requirements.txt" in build
    assert "--no-deps ." in build, "nothing that is not pinned"


def test_the_image_has_every_file_that_the_build_needs() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for word, rest in stages_of_build()[0]:
        if word == "COPY":
            for source in rest.split()[:-1]:
                assert (ROOT / source).exists(), source
                assert source not in ignored, source


def test_the_image_sets_only_what_is_a_setting() -> None:
    given = dict(re.findall(r"(LEAD_ROUTER_\w+)=(\S+)", " ".join(r for w, r in stages_of_build()[-1] if w == "ENV")))
    assert set(given) <= set(SETTINGS) | BESIDE_SETTINGS
    assert given["LEAD_ROUTER_DATA_DIR"] == last("WORKDIR")
    copied = [rest for word, rest in stages_of_build()[-1] if word == "COPY"]
    assert any(rest.endswith(f" {given['LEAD_ROUTER_EXAMPLES']}") for rest in copied)


def test_time_zones_come_with_us() -> None:
    """Slim images have no zone files; working hours of reps need them."""
    assert "tzdata" in (ROOT / "requirements.in").read_text().splitlines()
    code = "import zoneinfo; zoneinfo.reset_tzpath([]); print(zoneinfo.ZoneInfo('Europe/Helsinki'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=30)
    assert done.stdout.strip() == "Europe/Helsinki", done.stderr


def test_migrations_travel_with_the_code() -> None:
    """The image has only the installed packages: what migrates must lie inside one."""
    assert (Path(migrations.__file__).parent / "versions").is_dir()


# -- docs


def test_the_architecture_page_shows_the_flow() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page.splitlines()
        if line.startswith("| `") and line.count("|") == 6
    ]
    assert [row[0].strip("`") for row in rows] == [topic.name for topic in FLOW]
    for row, topic in zip(rows, FLOW, strict=True):
        assert row[1].startswith(topic.key.split(":")[0])
        assert row[2].startswith(topic.writer)
        assert row[3] == topic.reader
        assert row[4] == topic.holds


@pytest.mark.parametrize("path", ["README.md", "docs/architecture.md", "docs/operations.md"])
def test_pages_name_every_topic(path: str) -> None:
    page = (ROOT / path).read_text()
    assert not {topic.name for topic in FLOW} - set(re.findall(r"[a-z]+\.[a-z]+", page))


@pytest.mark.parametrize("path", sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda p: p.name)
def test_pages_name_only_settings_and_commands_that_exist(path: Path) -> None:
    text = path.read_text()
    for name in set(re.findall(r"\bLEAD_ROUTER_[A-Z_]+[A-Z]\b", text)):
        assert name in set(SETTINGS) | BESIDE_SETTINGS | {"LEAD_ROUTER_TEST_PG"}, f"{path.name} names {name}"
    for name in set(re.findall(r"`lead-router ([a-z]+)[ `]", text)):
        assert name in commands(), f"{path.name} names lead-router {name}"


@pytest.mark.parametrize("path", sorted([*(ROOT / "docs").rglob("*.md"), *ROOT.glob("*.md")]), ids=lambda p: p.name)
def test_pages_name_only_make_targets_that_exist(path: Path) -> None:
    there = set(re.findall(r"(?m)^([a-z][a-z-]*):", (ROOT / "Makefile").read_text()))
    for name in set(re.findall(r"`make ([a-z-]+)", path.read_text())):
        assert name in there, f"{path.name} names make {name}"
