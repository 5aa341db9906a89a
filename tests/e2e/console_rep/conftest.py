"""One product for all tests of a rep's console: to start it takes longer than most of them."""

from collections.abc import Iterator

import pytest

from tests.support.console import Console, playing


@pytest.fixture(scope="package")
def console(
    postgres_server: str, template_database: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Console]:
    """The product with its scene, once for this folder."""
    with playing(postgres_server, template_database, tmp_path_factory.mktemp("console")) as made:
        yield made
