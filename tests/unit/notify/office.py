"""Some reps' inboxes, for tests of the fold."""

from schemas.messages import LeadRouted
from services.notify.core.desk import desk, numbered
from services.notify.core.message import apply
from tests.unit.notify.messages import NOW

WINDOW_S = 1800.0


class Office:
    """Some desks, with every message applied as the handler would, one batch each unless said."""

    def __init__(self, *reps: str) -> None:
        self.desks = {rep: desk(rep, 0, None, None, NOW) for rep in reps or ("anna", "ben", "chloe")}
        self.count = 0

    def take(self, *messages: LeadRouted, now=NOW):
        out = []
        for message in messages:
            self.count += 1
            apply(self.desks, f"m{self.count}", message, now, WINDOW_S)
        for one in self.desks.values():
            out += numbered(one)
            one.changed.clear()
        return out

    def of(self, rep="anna"):
        return sorted(self.desks[rep].notices.values(), key=lambda n: n.seq)
