"""Every setting of Lead Router, read once from the environment in `cli.py` and handed down, frozen.

Names are `LEAD_ROUTER_<FIELD>`; units stand in the names. A test keeps `.env.example` equal to these fields.
"""

from ipaddress import ip_network
from pathlib import Path
from typing import Final, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

# Where we listen at every address, this machine finds us at its own.
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 nothing is bound here


class Settings(BaseSettings):
    """All settings. Every number has a range; every secret is a `SecretStr`."""

    model_config = SettingsConfigDict(env_prefix="LEAD_ROUTER_", env_ignore_empty=True, frozen=True, extra="ignore")

    # -- where we listen, where data lies
    host: str = "127.0.0.1"
    port: int = Field(8000, ge=1, le=65535)
    data_dir: Path = Path(".lead-router")
    public_url: str | None = Field(None, description="How the outside calls us; needed behind a proxy")
    environment: Literal["local", "production"] = "local"
    log: Literal["json", "console"] | None = None
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    secret_key: SecretStr | None = Field(
        None, description="32 bytes as base64 that seal stored secrets; local: a key file"
    )

    # -- database
    database_url: SecretStr | None = None
    pg_bin: Path | None = Field(None, description="Folder of PostgreSQL binaries to use instead of the wheel's")
    pool_size: int = Field(10, ge=2, le=100)
    statement_timeout_s: float = Field(30.0, ge=1, le=600)

    # -- log
    kafka: str | None = Field(None, description="Bootstrap servers host:port,host:port; unset: the log in PostgreSQL")
    partitions: int = Field(6, ge=1, le=512, description="Partitions of each topic; part of the state's identity")
    kafka_replication: int = Field(1, ge=1, le=7)
    kafka_min_isr: int = Field(1, ge=1, le=7)
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="How we go to the brokers: with TLS (SSL), with a login (SASL), both or neither"
    )
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="How we log in, with SASL_PLAINTEXT and SASL_SSL"
    )
    kafka_user: str | None = Field(None, description="The name we log in to Kafka with")
    kafka_password: SecretStr | None = Field(None, description="The password that goes with it")
    kafka_ca_file: Path | None = Field(
        None, description="Certificates (PEM) that the brokers' are signed with; unset: those of the system"
    )
    log_retention_days: int = Field(7, ge=1, le=365)
    kafka_timeout_s: float = Field(3.0, ge=0.5, le=60)
    batch_max_records: int = Field(2000, ge=1, le=20000)
    poll_wait_s: float = Field(0.2, ge=0.005, le=5)
    lease_s: float = Field(10.0, ge=1, le=120)
    heartbeat_s: float = Field(2.0, ge=0.1, le=60)
    watchdog_s: float = Field(60.0, ge=5, le=600)
    dead_letter_max_run: int = Field(5000, ge=10, description="Dead letters in a row at which a stage stops")

    # -- ingest
    body_max_bytes: int = Field(1_048_576, ge=1024, le=33_554_432)
    inflated_max_bytes: int = Field(8_388_608, ge=1024, le=134_217_728)
    batch_max_items: int = Field(2000, ge=1, le=20000)
    event_max_bytes: int = Field(32_768, ge=1024, le=1_048_576)
    nesting_max: int = Field(32, ge=4, le=128)
    commit_wait_ms: float = Field(2.0, ge=0, le=100, description="How long a request waits for company")
    ingest_queue_max: int = Field(20_000, ge=100, le=1_000_000)
    trusted_proxies: str = Field("", description="Comma list of networks whose X-Forwarded-For counts")

    # -- look-ups of contacts that a platform names by its id alone
    hubspot_url: str = Field("https://api.hubapi.com", description="Where HubSpot's API is")
    hubspot_calls_per_10s: int = Field(100, ge=1, le=1000, description="Calls to HubSpot's API, for each source")
    look_up_wait_s: float = Field(3600.0, ge=1, le=604_800, description="An event waits so long, then goes without")
    look_up_cache_s: float = Field(3600.0, ge=0, le=86400, description="A contact is asked for again after so long")

    # -- channels
    outgoing_networks: str = Field(
        "", description="Comma list of own networks that channels may call beside the public internet"
    )
    interrupts_per_hour: int = Field(12, ge=1, le=60, description="Alerts a rep gets in an hour, the rest in a digest")

    # -- machines
    apple_egress_file: Path | None = Field(
        None, description="Apple's egress-ip-ranges.csv, instead of the shipped list; judges opens of e-mails"
    )
    honeypot_links: str = Field(
        "", description="Parts of the addresses of links hidden in mails, separated by blanks; who clicks is a machine"
    )

    # -- the company's site
    demo_site_key: str | None = Field(
        None, description="Publishable key for /demo-site; unset: only on a local start, with the key of access.json"
    )

    # -- behaviour
    dedupe_days: int = Field(90, ge=2, le=730, description="Older events are kept as too_old, not scored")
    sweep_leads_per_s: int = Field(
        200,
        ge=1,
        le=10_000,
        description="Leads told anew in a second, at most, when an account changes or by a policy's sweep",
    )
    fresh_s: float = Field(120.0, ge=5, le=3600, description="An alert about something older is no news")
    collapse_s: float = Field(1800.0, ge=0, le=86400, description="Alerts of one kind and account join for so long")
    shutdown_s: float = Field(10.0, ge=1, le=120)

    # -- faults, for tests only
    crash_at: str | None = Field(None, description="Name of a step at which to end the process at once")

    @property
    def local_url(self) -> str:
        """How this machine itself reaches us, without a slash at the end."""
        host = EVERYWHERE.get(self.host, self.host)
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @field_validator("public_url", "hubspot_url")
    @classmethod
    def _address(cls, text: str | None) -> str | None:
        if text is None:
            return None
        parts = urlsplit(text.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            # Every link in every message begins with the first; chats refuse messages with links that are none.
            msg = "write it as https://leads.example.com"
            raise ValueError(msg)
        return text.strip().rstrip("/")

    @field_validator("outgoing_networks")
    @classmethod
    def _networks(cls, text: str) -> str:
        for one in text.split(","):
            if one.strip():
                ip_network(one.strip())
        return text
