"""The files that are made from code: `make schemas` writes them, tests hold them to the code.

Run as `python -m tests.support.published`. It refuses to write a schema that breaks readers or writers of the one that is
there; `--breaking` writes it all the same (then raise the version in the message types).
"""

import json
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

from schemas.describe import asyncapi, breaks, message_schema, schema_file
from schemas.topics import FLOW
from services.runtime.settings import Settings

ROOT = Path(__file__).parents[2]
OPERATIONS = ROOT / "docs" / "operations.md"
BEGIN, END = "<!-- settings: made by make schemas -->", "<!-- end of settings -->"
ASYNCAPI_HEAD = "# Made from schemas/topics.py and schemas/messages.py by `make schemas`; do not edit.\n"


class _Plain(yaml.SafeDumper):
    """Lists indented, no aliases."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def version() -> str:
    """The version of the project."""
    return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])


def schemas() -> dict[Path, dict[str, Any]]:
    """Path to the JSON Schema of each topic."""
    return {ROOT / "schemas" / "json" / schema_file(topic): message_schema(topic) for topic in FLOW}


def settings_table() -> str:
    """Every setting: its variable, default, bounds and meaning."""
    rows = ["| variable | default | allowed | meaning |", "|---|---|---|---|"]
    fields = Settings.model_json_schema()["properties"]
    for name, field in fields.items():
        kinds = field.get("anyOf", [field])
        words = [str(word) for kind in kinds for word in kind.get("enum", ())]
        low, high = field.get("minimum"), field.get("maximum")
        allowed = ", ".join(words) or (f"{low:,} to {high:,}" if high is not None else f"from {low:,}" if low else "")
        default = field.get("default")
        shown = "" if default is None or default == "" else f"`{default}`"
        rows.append(
            f"| `LEAD_ROUTER_{name.upper()}` | {shown} | {allowed} | {field.get('description') or MEANINGS[name]} |"
        )
    return "\n".join(rows)


# What the settings' own descriptions leave to their names.
MEANINGS = {
    "host": "Address to listen on; `0.0.0.0` for all",
    "port": "Port of the HTTP API and the console",
    "data_dir": "Embedded PostgreSQL, `access.json`, the key file",
    "environment": "`production` refuses what is only for a laptop: the embedded database, made-up tokens, a key file",
    "log": "Form of log lines; unset: `console` on a terminal, else `json`",
    "log_level": "How much is logged",
    "database_url": "PostgreSQL 15 or later; unset: the embedded one",
    "pool_size": "Connections of one process to PostgreSQL",
    "statement_timeout_s": "Seconds after which PostgreSQL ends a statement of the API",
    "kafka_replication": "Copies of each topic that we make",
    "kafka_min_isr": "Copies that must have a record before it counts as written",
    "log_retention_days": "Days that records are kept in the log",
    "kafka_timeout_s": "Seconds without an answer after which the broker counts as away",
    "batch_max_records": "Records that a stage handles in one transaction, at most",
    "poll_wait_s": "Seconds between looks at the log when nothing wakes us",
    "lease_s": "Seconds after which a silent owner loses its partitions",
    "heartbeat_s": "Seconds between renewals of a lease",
    "watchdog_s": "Seconds without a turn after which a loop counts as stuck and the process ends",
    "body_max_bytes": "Largest HTTP body",
    "inflated_max_bytes": "Largest HTTP body once unpacked",
    "batch_max_items": "Most items in one request",
    "event_max_bytes": "Largest single event",
    "nesting_max": "Deepest JSON",
    "ingest_queue_max": "Events that may wait for their commit; beyond it the answer is 429",
    "shutdown_s": "Seconds that a process gets to finish at SIGTERM",
}


def operations_with_table() -> str:
    """docs/operations.md with the table of today."""
    text = OPERATIONS.read_text()
    before, rest = text.split(BEGIN, 1)
    return f"{before}{BEGIN}\n{settings_table()}\n{END}{rest.split(END, 1)[1]}"


def as_json(document: dict[str, Any]) -> str:
    """As the files hold it."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def files() -> dict[Path, str]:
    """Every made file with its text."""
    document = yaml.dump(asyncapi(version()), Dumper=_Plain, sort_keys=False, allow_unicode=True, width=120)
    return {
        **{path: as_json(document) for path, document in schemas().items()},
        ROOT / "schemas" / "asyncapi.yaml": ASYNCAPI_HEAD + document,
        OPERATIONS: operations_with_table(),
    }


def main() -> None:
    """Write what differs."""
    for path, new in schemas().items():
        broken = breaks(json.loads(path.read_text()), new) if path.exists() else []
        if broken and "--breaking" not in sys.argv[1:]:
            sys.exit(f"{path.relative_to(ROOT)}: this breaks who reads or writes it today:\n  " + "\n  ".join(broken))
    for path, text in files().items():
        if not path.exists() or path.read_text() != text:
            path.write_text(text)
            print(f"written: {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
