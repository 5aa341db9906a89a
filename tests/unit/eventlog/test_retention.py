"""How long is a topic kept?"""

import pytest

from schemas.topics import Topic
from services.eventlog.core.retention import keep_days


@pytest.mark.parametrize(("topic", "setting", "kept"), [(7, 7, 7), (7, 3, 3), (7, 30, 30), (30, 7, 30), (30, 60, 60)])
def test_the_setting_counts_and_what_is_kept_longer_on_purpose_is_never_kept_shorter(
    topic: int, setting: int, kept: int
) -> None:
    described = Topic(name="t", key="k", writer="ingest", reader="scoring", holds="tests", retention_days=topic)
    assert keep_days(described, setting) == kept
