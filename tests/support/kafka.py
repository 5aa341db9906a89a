"""A real Apache Kafka for tests, without Docker: the broker's own jars, fetched once per user by Maven.

Fixture `kafka` is one broker a session (and xdist worker): its bootstrap address. `kafka_cluster` makes brokers of a
test's own, to kill and restart. Where Java or Maven is missing the tests are skipped, loudly; with `CI` set they fail.
"""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient

VERSION = "4.4.0"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "lead-router" / f"kafka-{VERSION}"
JVM = ["java", "-Xms64m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"]
MAVEN_S = 600
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion>
  <groupId>local</groupId><artifactId>kafka-run</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies><dependency>
    <groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>{VERSION}</version>
  </dependency></dependencies>
</project>
"""
PROPERTIES = """process.roles=broker,controller
node.id={id}
controller.quorum.voters={voters}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{control}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={dir}
auto.create.topics.enable=false
default.replication.factor={rf}
min.insync.replicas={isr}
offsets.topic.replication.factor={rf}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={rf}
transaction.state.log.min.isr={isr}
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor={rf}
share.coordinator.state.topic.min.isr={isr}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
replica.lag.time.max.ms=3000
log.cleaner.dedupe.buffer.size=2097152
num.network.threads=2
num.io.threads=2
"""


def run_alone(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end on a loop of its own, wherever we are called from."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(asyncio.run, work).result()


def missing() -> str | None:
    """What this machine lacks to run Kafka, in words."""
    if shutil.which("java") is None:
        return "Kafka cannot run: there is no `java` (17 or newer) on the PATH"
    if not (CACHE / "libs").exists() and shutil.which("mvn") is None:
        return f"Kafka cannot be fetched: there is no `mvn` on the PATH, and no jars in {CACHE / 'libs'}"
    return None


def jars() -> None:
    """Fetch the jars and make the class archive, once per user; safe with parallel test runs."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "libs").exists():
            shutil.rmtree(CACHE / "libs.tmp", ignore_errors=True)
            (CACHE / "pom.xml").write_text(POM)
            command = ["mvn", "-q", "-B", "-f", str(CACHE / "pom.xml"), "dependency:copy-dependencies"]
            command += ["-DincludeScope=runtime", f"-DoutputDirectory={CACHE / 'libs.tmp'}"]
            done = subprocess.run(command, check=False, capture_output=True, timeout=MAVEN_S)
            if done.returncode:
                raise RuntimeError(f"Maven did not fetch Kafka's jars: {done.stdout.decode()[-2000:]}")
            (CACHE / "libs.tmp").rename(CACHE / "libs")
        if not (CACHE / "kafka.jsa").exists():
            shutil.rmtree(CACHE / "warm", ignore_errors=True)
            with contextlib.closing(Cluster(1, CACHE / "warm", [f"-XX:ArchiveClassesAtExit={CACHE}/jsa.tmp"])) as warm:
                run_alone(warm.ready())
            shutil.rmtree(CACHE / "warm", ignore_errors=True)
            (CACHE / "jsa.tmp").rename(CACHE / "kafka.jsa")


class Cluster:
    """Brokers on free ports, each broker and controller in one.

    Args:
        extra: Further lines of server.properties, with the same places as those of `PROPERTIES`; the last one counts.
        form: Further arguments of the storage tool that formats the folders.
    """

    def __init__(
        self, nodes: int, work: Path, jvm: list[str] | None = None, *, extra: str = "", form: Sequence[str] = ()
    ) -> None:
        self.java = [*JVM, *(jvm or [f"-XX:SharedArchiveFile={CACHE}/kafka.jsa"]), "-cp", f"{CACHE}/libs/*"]
        with contextlib.ExitStack() as held:
            ports = [
                held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(2 * nodes)
            ]
        self.ports, control = ports[:nodes], ports[nodes:]
        self.bootstrap = ",".join(f"127.0.0.1:{port}" for port in self.ports)
        self.nodes: dict[int, subprocess.Popen[bytes]] = {}
        self.folders: dict[int, Path] = {}
        voters = ",".join(f"{node}@127.0.0.1:{port}" for node, port in enumerate(control, 1))
        for node in range(1, nodes + 1):
            folder = self.folders[node] = work / f"node{node}"
            folder.mkdir(parents=True)
            (folder / "server.properties").write_text(
                (PROPERTIES + extra).format(
                    id=node,
                    port=self.ports[node - 1],
                    control=control[node - 1],
                    dir=folder / "data",
                    rf=nodes,
                    isr=max(1, nodes - 1),
                    voters=voters,
                )
            )
            tool = [*JVM, "-cp", f"{CACHE}/libs/*", "kafka.tools.StorageTool", "format", "-t", "lead-router-tests"]
            command = [*tool, *form, "-c", str(folder / "server.properties")]
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            self.start(node)

    def start(self, node: int) -> None:
        """Start one broker."""
        folder = self.folders[node]
        with (folder / "out.log").open("ab") as out:
            command = [*self.java, "kafka.Kafka", str(folder / "server.properties")]
            self.nodes[node] = subprocess.Popen(command, stdout=out, stderr=out)

    def kill(self, node: int) -> None:
        """End one broker at once, as a power cut does to its process."""
        self.nodes[node].kill()
        self.nodes[node].wait(30)

    async def ready(self, limit_s: float = 60.0) -> None:
        """Wait until every broker is known to the others."""
        end = time.monotonic() + limit_s
        while time.monotonic() < end and all(process.poll() is None for process in self.nodes.values()):
            with contextlib.suppress(Exception):  # not yet up: whatever it says, ask again
                socket.create_connection(("127.0.0.1", self.ports[0]), 0.2).close()
                admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap, request_timeout_ms=2000)
                try:
                    await admin.start()
                    if len((await admin.describe_cluster())["brokers"]) >= len(self.nodes):
                        return
                finally:
                    await admin.close()
            await asyncio.sleep(0.05)
        said = "".join((folder / "out.log").read_text()[-1000:] for folder in self.folders.values())
        raise RuntimeError(f"Kafka is not ready: {said}")

    def close(self) -> None:
        """End all brokers; a stopped one is woken first, since it would not die of SIGTERM."""
        for process in self.nodes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                if len(self.nodes) == 1:
                    process.terminate()
                else:
                    process.kill()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(30)


@pytest.fixture(scope="session")
def kafka_jars() -> None:
    """Kafka can run here, or the test is skipped (with `CI` set: fails)."""
    lacking = missing()
    if lacking and os.environ.get("CI"):
        pytest.fail(f"{lacking}; with CI set this must not be skipped")
    if lacking:
        pytest.skip(f"NOT TESTED: {lacking}")
    jars()


@pytest.fixture(scope="session")
def kafka(kafka_jars: None) -> Iterator[str]:
    """Bootstrap address of a broker that all tests of the session share: use topics of your own, or `kafka_cluster`."""
    folder = Path(tempfile.mkdtemp(prefix="lead-router-kafka-"))
    cluster = Cluster(1, folder)
    try:
        run_alone(cluster.ready())
        yield cluster.bootstrap
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def kafka_cluster(kafka_jars: None) -> Iterator[Callable[[int], Awaitable[Cluster]]]:
    """Makes a cluster of so many brokers, for this test alone."""
    folder = Path(tempfile.mkdtemp(prefix="lead-router-kafka-"))
    made: list[Cluster] = []

    async def make(nodes: int) -> Cluster:
        made.append(await asyncio.to_thread(Cluster, nodes, folder / str(len(made))))
        await made[-1].ready()
        return made[-1]

    yield make
    for cluster in made:
        cluster.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(params=["postgres", pytest.param("kafka", marks=pytest.mark.needs_kafka)])
def which_log(request: pytest.FixtureRequest) -> str | None:
    """Both logs, one after the other: the bootstrap address of Kafka, or None for the log in PostgreSQL."""
    return request.getfixturevalue("kafka") if request.param == "kafka" else None
