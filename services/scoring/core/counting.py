"""What does an event count for? The policy's rules for it, remembered as the fold needs them."""

from typing import Final

from services.policy.core.policy import Policy, SignalRule

MOST: Final = 50_000
THOUSAND: Final = 1000


class Counted:
    """The rules of one kind of event.

    Attributes:
        code: Of the event's own signal.
        parts: For each rule: code of its counters, points, daily cap in thousandths, half-life in s.
        named, others: Whether such an act is told at once, of leads of named accounts and of others.
        tells: Either.
    """

    __slots__ = ("code", "named", "others", "parts", "tells")

    def __init__(self, rules: tuple[SignalRule, ...], policy: Policy) -> None:
        self.code = rules[0].code
        self.parts = tuple((rule.code, rule.points, rule.daily_cap * THOUSAND, rule.half_life_s) for rule in rules)
        self.named = policy.alerts.kind(rules, named=True) is not None
        self.others = policy.alerts.kind(rules, named=False) is not None
        self.tells = self.named or self.others


class Counting:
    """The rules of one policy, by what of an event they look at.

    Attributes:
        plain: What signals count for of which nothing else matters, as far as they were asked for: look here first.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.step = policy.step * THOUSAND
        self.plain: dict[str, Counted] = {}
        self._special: dict[tuple[str | None, ...], Counted] = {}
        special = [rule for rule in policy.signals.values() if rule.base != rule.name]
        own = {rule.name for rule in policy.signals.values() if rule.base == rule.name}
        self._simple = frozenset(own - {rule.base for rule in special})
        # Signals of which only the path matters: URLs and names differ from event to event.
        self._by_path = frozenset(own - {rule.base for rule in special if rule.names or rule.url_contains is not None})

    def of(self, signal: str, path: str | None, name: str | None, url: str | None) -> Counted:
        """What an event counts for; `url` is the link of a click."""
        if signal in self._simple:
            plain = self.plain[signal] = Counted(self.policy.counted(signal), self.policy)
            return plain
        wanted = (signal, path) if signal in self._by_path else (signal, path, name, url)
        found = self._special.get(wanted)
        if found is None:
            if len(self._special) >= MOST:
                self._special.clear()
            found = self._special[wanted] = Counted(self.policy.counted(signal, path, name, url), self.policy)
        return found
