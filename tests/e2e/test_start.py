"""Starting badly: every mistake in the settings ends at once, with one line that says how to mend it."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.product import ROOT, Product

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120), pytest.mark.xdist_group("e2e")]
EX_CONFIG = 78


def run(product: Product, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *arguments],
        cwd=ROOT,
        env=product.env,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


@pytest.mark.parametrize(
    ("env", "words"),
    [
        ({"LEAD_ROUTER_DATABASE_URL": "mysql://x@127.0.0.1/y"}, "only PostgreSQL is supported"),
        ({"LEAD_ROUTER_DATABASE_URL": "not a url"}, "postgresql://user:password@host:5432/name"),
        ({"LEAD_ROUTER_PORT": "70000"}, "LEAD_ROUTER_PORT"),
        ({"LEAD_ROUTER_ENVIRONMENT": "production"}, "LEAD_ROUTER_DATABASE_URL"),
        ({"LEAD_ROUTER_ENVIRONMENT": "staging"}, "LEAD_ROUTER_ENVIRONMENT"),
    ],
)
def test_wrong_setting(tmp_path: Path, env: dict[str, str], words: str) -> None:
    done = run(Product(tmp_path / "data", **env), "up")
    assert done.returncode == EX_CONFIG, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_database_away(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    done = run(Product(tmp_path / "data", LEAD_ROUTER_DATABASE_URL=f"postgresql://u:secret@127.0.0.1:{port}/x"), "up")
    assert done.returncode != 0
    assert "does not answer" in done.stderr
    assert "secret" not in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


def test_port_taken(tmp_path: Path, empty_database_url: str) -> None:
    product = Product(tmp_path / "data", LEAD_ROUTER_DATABASE_URL=empty_database_url)
    with socket.create_server(("127.0.0.1", product.port)):
        done = run(product, "up")
    assert done.returncode == EX_CONFIG
    assert f"port {product.port} is taken" in done.stderr
    assert "Traceback" not in done.stderr


def test_kafka_away(tmp_path: Path, empty_database_url: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    env = {"LEAD_ROUTER_KAFKA": f"127.0.0.1:{port}", "LEAD_ROUTER_DATABASE_URL": empty_database_url}
    done = run(Product(tmp_path / "data", **env), "up")
    assert done.returncode != 0
    assert f"Kafka at 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.timeout(400)  # nine commands, each a process that imports the product
async def test_data_folder_in_use_and_commands_beside(tmp_path: Path) -> None:
    product = Product(tmp_path / "data")
    await product.start()
    try:
        second = Product(tmp_path / "data")
        done = run(second, "up")
        assert done.returncode == EX_CONFIG
        assert "in use by another lead-router" in done.stderr

        token = run(product, "token", "create", "--role", "rep", "--rep", "anna").stdout.strip()
        client = product.client()
        client.access["reps"]["anna"] = token
        assert isinstance(await client.notices("anna"), list)
        added = run(product, "source", "add", "crm", "--platform", "segment", "--write-key", "my-own-key-123")
        assert '"write_key": "my-own-key-123"' in added.stdout, added.stderr
        shown = run(product, "source", "show", "crm")
        assert "What to do:" in shown.stdout, shown.stderr
        assert "no source nobody" in run(product, "source", "show", "nobody").stderr
        client.access["source"] = "my-own-key-123"
        await client.batch([{"type": "identify", "userId": "u1", "traits": {"email": "aino@fjordsoft.example"}}])
        await client.close()
        assert "healthy" in run(product, "health").stdout or '"alive"' in run(product, "health").stdout
        assert run(product, "dead", "list").returncode == 0
        assert "Nothing would change" in run(product, "policy", "diff", "examples/policy.yaml").stdout
    finally:
        assert await product.stop() == 0, product.tail()
