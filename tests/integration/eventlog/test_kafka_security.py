"""Brokers that want TLS, a login, or both: every client of ours goes in, and what is wrong is said."""

import datetime
import ipaddress
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from services.eventlog.kafka_calls import connection
from services.runtime.errors import Misconfigured, Unavailable
from services.runtime.settings import Settings
from tests.support.kafka import Cluster, run_alone
from tests.support.logs import Kit, quick

pytestmark = [pytest.mark.needs_kafka, pytest.mark.needs_postgres, pytest.mark.xdist_group("kafka")]

USER, PASSWORD = "alice", "between us"
LISTENERS = """
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{control}},SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{both},SASL_PLAINTEXT://127.0.0.1:{login}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SSL://127.0.0.1:{ssl},SASL_SSL://127.0.0.1:{both},SASL_PLAINTEXT://127.0.0.1:{login}
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_SSL:SASL_SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.sasl_plaintext.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.sasl_ssl.sasl.enabled.mechanisms=SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_plaintext.sasl.enabled.mechanisms=PLAIN
ssl.keystore.type=PEM
ssl.keystore.location={keys}
"""


@dataclass
class Broker:
    """Where it listens in which way, and who signed its certificate."""

    ports: dict[str, int]
    ca: Path

    def settings(self, protocol: str, **more: Any) -> Settings:
        return quick(kafka=f"127.0.0.1:{self.ports[protocol]}", kafka_security_protocol=protocol, **more)


def certificate(folder: Path) -> tuple[Path, Path]:
    """A broker's key with its certificate in one file, and the certificate that signed it."""
    now = datetime.datetime.now(datetime.UTC)

    def make(name: str, key: Any, signer: Any, issuer: str, extension: x509.ExtensionType) -> x509.Certificate:
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(extension, critical=True)
            .sign(signer, hashes.SHA256())
        )

    own, broker = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca = make("tests", own, own, "tests", x509.BasicConstraints(ca=True, path_length=0))
    here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = make("broker", broker, own, "tests", here)
    pem = serialization.Encoding.PEM
    keys, authority = folder / "broker.pem", folder / "ca.pem"
    private = broker.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    keys.write_bytes(private + signed.public_bytes(pem) + ca.public_bytes(pem))
    authority.write_bytes(ca.public_bytes(pem))
    return keys, authority


@pytest.fixture(scope="module")
def broker(kafka_jars: None) -> Iterator[Broker]:
    folder = Path(tempfile.mkdtemp(prefix="lead-router-kafka-"))
    names = ("SSL", "SASL_SSL", "SASL_PLAINTEXT")
    with ExitStack() as held:
        free = [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in names]
    keys, ca = certificate(folder)
    extra = LISTENERS.format(ssl=free[0], both=free[1], login=free[2], keys=keys, user=USER, password=PASSWORD)
    form = [
        word
        for kind in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        for word in ("--add-scram", f"{kind}=[name={USER},password={PASSWORD}]")
    ]
    try:
        with closing(Cluster(1, folder / "broker", extra=extra, form=form)) as cluster:
            run_alone(cluster.ready())
            yield Broker(dict(zip(names, free, strict=True)), ca)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("protocol", "more"),
    [
        ("SSL", {}),
        ("SASL_SSL", {"kafka_sasl_mechanism": "SCRAM-SHA-512"}),
        ("SASL_SSL", {"kafka_sasl_mechanism": "SCRAM-SHA-256"}),
        ("SASL_PLAINTEXT", {"kafka_sasl_mechanism": "PLAIN"}),
    ],
)
async def test_every_client_goes_in(broker: Broker, database_url: str, protocol: str, more: dict[str, str]) -> None:
    if protocol.startswith("SASL"):
        more = {**more, "kafka_user": USER, "kafka_password": PASSWORD}
    if protocol.endswith("SSL"):
        more = {**more, "kafka_ca_file": str(broker.ca)}
    kit = await Kit(database_url, broker.settings(protocol, partitions=1, **more)).open()
    try:
        await kit.fill(20)
        reader = kit.log.reader(kit.source, "tests")
        await reader.assign({0: 0})
        found: list[Any] = []
        while len(found) < 20:
            found += await reader.poll(100, 1.0)
        await reader.note({0: 20})
        assert [record.value for record in found] == [b"%d" % n for n in range(20)]
        assert await reader.bounds([0]) == {0: (0, 20)}
        assert await kit.log.healthy() is None
    finally:
        await kit.close()


@pytest.mark.parametrize("wrong", ["password", "ca"])
async def test_who_is_not_let_in_is_told_how_they_came(broker: Broker, database_url: str, wrong: str) -> None:
    password = "another" if wrong == "password" else PASSWORD
    ca = {} if wrong == "ca" else {"kafka_ca_file": broker.ca}
    kit = Kit(database_url, broker.settings("SASL_SSL", kafka_user=USER, kafka_password=password, **ca))
    with pytest.raises(Unavailable, match=rf"127\.0\.0\.1:\d+ \(SASL_SSL as {USER}\) does not answer"):
        await kit.log.ensure_topics()
    assert "SASL_SSL as alice" in (await kit.log.healthy() or "")
    await kit.log.close()
    await kit.db.close()


def test_what_cannot_be_used_is_refused_at_start(tmp_path: Path) -> None:
    def settings(protocol: str, **more: Any) -> Settings:
        return Settings(kafka="127.0.0.1:1", kafka_security_protocol=protocol, **more)

    with pytest.raises(Misconfigured, match="needs LEAD_ROUTER_KAFKA_USER"):
        connection(settings("SASL_PLAINTEXT"))
    with pytest.raises(Misconfigured, match="needs LEAD_ROUTER_KAFKA_USER"):
        connection(settings("SASL_SSL", kafka_user=USER))
    with pytest.raises(Misconfigured, match=r"LEAD_ROUTER_KAFKA_CA_FILE: .* cannot be used"):
        connection(settings("SSL", kafka_ca_file=tmp_path / "none.pem"))
    (tmp_path / "empty.pem").touch()
    with pytest.raises(Misconfigured, match="cannot be used"):
        connection(settings("SSL", kafka_ca_file=tmp_path / "empty.pem"))
