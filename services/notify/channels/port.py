"""The port of a channel: prepare → send → settle. Only `send` reaches out; no transaction is open meanwhile."""

from datetime import datetime
from typing import Protocol, TypeVar

from services.notify.core.attempt import Result

R_contra = TypeVar("R_contra", contravariant=True)
Q = TypeVar("Q")


class Channel(Protocol[R_contra, Q]):
    """A way to reach people. `R_contra` is what is stored, `Q` what is sent."""

    @property
    def name(self) -> str:
        """For metrics and deliveries."""
        ...

    def prepare(self, row: R_contra, now: datetime) -> Q | None:
        """What to send of a stored row at `now`: freshness is judged here. None: nothing any more."""
        ...

    async def send(self, request: Q) -> Result:
        """Send it. `ok` means that the far side has it."""
        ...

    async def settle(self, request: Q, result: Result, now: datetime) -> None:
        """Remember what came of it."""
        ...
