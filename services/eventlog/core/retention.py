"""How long is a topic kept?"""

from typing import Final

from schemas.topics import Topic

ORDINARY_DAYS: Final = 7


def keep_days(topic: Topic, setting_days: int) -> int:
    """Days that records of `topic` are kept, at least 1.

    Args:
        setting_days: `log_retention_days`. A topic that is kept longer than usual on purpose is never kept shorter.
    """
    return max(topic.retention_days, setting_days) if topic.retention_days > ORDINARY_DAYS else setting_days
