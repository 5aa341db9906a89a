"""Settings: from the environment, in ranges, and the same in `.env.example`."""

import re
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.runtime.settings import Settings

ROOT = Path(__file__).parents[3]


def test_env_example_shows_every_setting_with_its_default() -> None:
    lines = (ROOT / ".env.example").read_text().splitlines()
    shown = dict(found.groups() for line in lines if (found := re.match(r"#LEAD_ROUTER_(\w+)=(.*)", line)))
    defaults = {
        name.upper(): "" if field.default is None else str(field.default)
        for name, field in Settings.model_fields.items()
    }
    assert shown == defaults
    assert all(line == "" or line.startswith("#") for line in lines)


def test_the_contract_names_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "PORT": "9001",
        "HOST": "0.0.0.0",
        "DATA_DIR": "/tmp/x",
        "DATABASE_URL": "postgresql://a:b@c/d",
        "KAFKA": "k:9092",
        "ENVIRONMENT": "production",
        "LOG": "json",
    }.items():
        monkeypatch.setenv(f"LEAD_ROUTER_{name}", value)
    settings = Settings()
    assert (settings.port, settings.host, settings.data_dir) == (9001, "0.0.0.0", Path("/tmp/x"))
    assert (settings.kafka, settings.environment, settings.log) == ("k:9092", "production", "json")
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://a:b@c/d"
    assert "a:b" not in repr(settings)


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_ROUTER_KAFKA", "")
    monkeypatch.setenv("LEAD_ROUTER_LOG", "")
    assert (Settings().kafka, Settings().log) == (None, None)


@pytest.mark.parametrize(("name", "value"), [("PORT", "0"), ("PORT", "x"), ("ENVIRONMENT", "prod"), ("POOL_SIZE", "1")])
def test_values_out_of_range_are_refused(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"LEAD_ROUTER_{name}", value)
    with pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("fd00::7", "http://[fd00::7]:8000"),
        ("leads.internal", "http://leads.internal:8000"),
    ],
)
def test_how_this_machine_reaches_us(host: str, url: str) -> None:
    assert Settings(_env_file=None, host=host).local_url == url  # type: ignore[call-arg]


def test_the_public_address_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEAD_ROUTER_PUBLIC_URL", " https://leads.example.com/ ")
    assert Settings().public_url == "https://leads.example.com"
    for none in (
        "leads.example.com",
        "localhost:8000",
        "ftp://leads.example.com",
        "https://",
        "https://a.example/?x=1",
    ):
        monkeypatch.setenv("LEAD_ROUTER_PUBLIC_URL", none)
        with pytest.raises(ValidationError, match="write it as https"):
            Settings()
    monkeypatch.delenv("LEAD_ROUTER_PUBLIC_URL")
    monkeypatch.setenv("LEAD_ROUTER_HUBSPOT_URL", "api.hubapi.com")
    with pytest.raises(ValidationError, match="write it as https"):
        Settings()


def test_every_number_has_a_range() -> None:
    loose = [
        name
        for name, field in Settings.model_fields.items()
        if field.annotation in (int, float)
        and not any(hasattr(bound, "ge") or hasattr(bound, "gt") for bound in field.metadata)
    ]
    assert loose == []
