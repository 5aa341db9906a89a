"""Which programs of PostgreSQL does the embedded database run? The wheel's, or those that a setting names."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from services.runtime import pg_folder
from services.runtime.embedded import EmbeddedPostgres
from services.runtime.errors import Misconfigured

SMALL = {"shared_buffers": "16MB", "fsync": "off"}


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="embedded-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def test_programs_of_another_version_are_refused(folder: Path) -> None:
    (folder / "PG_VERSION").write_text("9\n")
    with pytest.raises(Misconfigured, match="written by PostgreSQL 9"):
        pg_folder.programs(None, folder)
    with pytest.raises(Misconfigured, match="LEAD_ROUTER_PG_BIN"):
        pg_folder.programs(folder, folder)


SYSTEM = sorted(Path("/usr/lib/postgresql").glob("1[5-9]/bin")) + sorted(Path("/usr/lib/postgresql").glob("[2-9]?/bin"))


@pytest.mark.skipif(not SYSTEM, reason="NOT TESTED: no PostgreSQL in /usr/lib/postgresql")
@pytest.mark.parametrize("bin_dir", SYSTEM, ids=lambda path: path.parent.name)
async def test_programs_of_the_system_make_the_same_database(folder: Path, bin_dir: Path) -> None:
    server = EmbeddedPostgres(folder, bin_dir=bin_dir, extra=SMALL)
    try:
        pg = await asyncpg.connect(await server.start(supervised=False))
        assert str(pg.get_server_version().major) == bin_dir.parent.name
        for name, value in {"timezone": "UTC", "log_timezone": "UTC", "server_encoding": "UTF8"}.items():
            assert await pg.fetchval(f"SHOW {name}") == value
        await pg.close()
    finally:
        await server.stop()
