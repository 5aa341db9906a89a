"""How often may somebody try to sign in? Failures are counted per address and per beginning of the token, in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from services.runtime.clock import Clock

# An office behind one address mistypes; a program that guesses does it thousands of times.
PER_ADDRESS: Final = 30
PER_TOKEN: Final = 10
WINDOW_S: Final = 60.0
KEYS_MAX: Final = 10_000
PREFIX_CHARS: Final = 14


@dataclass
class _Count:
    since: float
    failures: int


class Attempts:
    """Failed sign-ins of the last minute, in this process. Who succeeds is never counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def wait_s(self, address: str, token: str) -> float:
        """How long to wait before the next try is looked at; 0 for now."""
        now = self._clock.monotonic()
        waits = [0.0]
        for key, most in _keys(address, token):
            count = self._counts.get(key)
            if count is not None and count.failures >= most:
                waits.append(count.since + WINDOW_S - now)
        return max(waits)

    def failed(self, address: str, token: str) -> None:
        """Count a failure. Beyond `KEYS_MAX` keys the oldest are forgotten."""
        now = self._clock.monotonic()
        for key, _ in _keys(address, token):
            count = self._counts.get(key)
            if count is None or now - count.since >= WINDOW_S:
                self._counts[key] = _Count(now, 1)
                self._counts.move_to_end(key)
            else:
                count.failures += 1
        while len(self._counts) > KEYS_MAX:
            self._counts.popitem(last=False)


def _keys(address: str, token: str) -> tuple[tuple[str, int], ...]:
    return (f"a {address}", PER_ADDRESS), (f"t {token[:PREFIX_CHARS]}", PER_TOKEN)
