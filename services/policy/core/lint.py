"""Is the policy wise? Warnings about what is allowed but surely not meant."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from services.policy.core.compile import compile_policy
from services.policy.core.condition import Condition
from services.policy.core.document import Document, read_document
from services.policy.core.facts import FACTS
from services.policy.core.languages import LANGUAGES, meant
from services.policy.core.policy import Policy, Segment
from services.policy.core.problems import Problem, did_you_mean
from services.policy.core.words import noun_of, shown

# Cases tried at most when the space of segments is searched; beyond it the search is left out.
MAX_CASES: Final = 50_000
_ELSE: Final = "something else"
_GRADES: Final = ("A", "B", "C", "D")


class Known(msgspec.Struct, frozen=True):
    """What the directory knows. None: not known here, so not checked."""

    pools: frozenset[str] | None = None
    industries: frozenset[str] | None = None


def lint_policy(text: str, known: Known | None = None) -> list[Problem]:
    """Warnings about a policy, in the order of the file.

    Raises:
        PolicyError: It is no policy at all.
    """
    policy = compile_policy(text)
    document = read_document(text)
    found = [
        *_segments(policy, document),
        *_pools(policy, document, known or Known()),
        *_texts(policy, document, known or Known()),
        *_personas(policy, document),
        *_cadences(policy, document),
        *_languages(document),
        *_reach(policy, document),
    ]
    return sorted(found, key=lambda p: (p.line, p.column))


def _segments(policy: Policy, document: Document) -> Iterator[Problem]:
    """Segments that nobody reaches, and leads that reach no segment."""
    cases = _cases(policy.segments, policy)
    if cases is None:
        return
    reached: set[str] = set()
    hole: Mapping[str, Any] | None = None
    for case in cases:
        first = next((s for s in policy.segments if s.when(case)), None)
        if first is not None:
            reached.add(first.name)
        elif hole is None:
            hole = case
    for index, segment in enumerate(policy.segments):
        if segment.name not in reached:
            message = f"no lead ever comes to the segment {segment.name}: those before it take them all, or its condition is never true"
            yield document.problem(("segments", index, "when"), message, "move it up, or change its condition")
    if hole is not None:
        words = ", ".join(
            f"{noun_of(path, {})}: {shown(hole[path])}" for path in sorted(hole) if not path.startswith("icp.")
        )
        message = f"some leads are in no segment and stay in nurture for ever, for example {words}"
        yield document.problem(("segments",), message, "end with a segment that takes the rest: when: true", key=True)


def _cases(segments: Sequence[Segment], policy: Policy) -> list[dict[str, Any]] | None:
    """Facts around every limit that the segments name, in every combination; None when there are too many."""
    icp: dict[str, Any] = {
        "icp.industries": policy.icp.industries,
        "icp.countries": policy.icp.countries,
        "icp.roles": policy.icp.roles,
    }
    paths = sorted({path for s in segments for path in s.when.paths if path not in icp})
    axes = [_values(path, [s.when for s in segments], policy) for path in paths]
    count = 1
    for axis in axes:
        count *= len(axis)
        if count > MAX_CASES:
            return None
    return [{**icp, **dict(zip(paths, values, strict=True))} for values in itertools.product(*axes)]


def _values(path: str, conditions: Sequence[Condition], policy: Policy) -> list[Any]:
    """Values of one fact on both sides of every limit, the unknown included."""
    kind = FACTS.get(path, "number")
    if kind == "bool":
        return [True, False]
    if kind == "string":
        texts = {text for c in conditions for text, _ in c.texts(path)}
        texts |= {
            "account.industry": set(policy.icp.industries),
            "account.country": set(policy.icp.countries),
            "persona.role": {p.role for p in policy.personas},
            "fit.grade": set(_GRADES),
        }.get(path, {_ELSE})
        return [None, *sorted(texts | ({_ELSE} if path != "fit.grade" else set()))]
    limits = {0.0, *(limit for c in conditions for limit in [*c.limits(path), *c.numbers(path)])}
    return [None, *sorted({limit + step for limit in limits for step in (-1, 0, 1) if limit + step >= 0})]


def _pools(policy: Policy, document: Document, known: Known) -> Iterator[Problem]:
    if known.pools is None:
        return
    for index, segment in enumerate(policy.segments):
        if segment.handover_to not in ("owner", "self_serve") and segment.handover_to not in known.pools:
            message = f'the directory has no pool "{segment.handover_to}": nobody would get these leads'
            hint = did_you_mean(segment.handover_to, sorted(known.pools)) or "make the pool first"
            yield document.problem(("segments", index, "handover_to"), message, hint)


def _texts(policy: Policy, document: Document, known: Known) -> Iterator[Problem]:
    """Texts in conditions and in the profile that no lead will ever have."""
    places: list[tuple[tuple[str | int, ...], Condition]] = [
        *((("segments", i, "when"), s.when) for i, s in enumerate(policy.segments)),
        *((("stages", stage), condition) for stage, condition in policy.stages.items()),
    ]
    allowed: dict[str, Sequence[str]] = {
        "fit.grade": _GRADES,
        "persona.role": list(dict.fromkeys(p.role for p in policy.personas)),
    }
    if known.industries is not None:
        allowed["account.industry"] = sorted(known.industries)
        for index, industry in enumerate(policy.icp.industries):
            if industry not in known.industries:
                message = f'no account in the directory is in the industry "{industry}"'
                yield document.problem(
                    ("icp", "industries", index), message, did_you_mean(industry, sorted(known.industries))
                )
    for loc, condition in places:
        for path, values in allowed.items():
            for text, at in condition.texts(path):
                if text not in values:
                    before = condition.text[:at]
                    line, column = before.count("\n") + 1, at - before.rfind("\n")
                    at_line, at_column = document.condition_place(loc, line, column)
                    message = f'{noun_of(path, {})} is never "{text}"'
                    path_words = ".".join(str(p) for p in loc)
                    hint = did_you_mean(text, values) or f"known: {', '.join(values)}"
                    yield Problem(line=at_line, column=at_column, path=path_words, message=message, hint=hint)


def _personas(policy: Policy, document: Document) -> Iterator[Problem]:
    functions = sorted({f for p in policy.personas for f in p.functions} | {_ELSE})
    levels = sorted({level for p in policy.personas for level in p.levels} | {_ELSE})
    reached = {id(policy.persona_of(f, level)) for f in functions for level in levels}
    for index, persona in enumerate(policy.personas):
        if id(persona) not in reached:
            message = f"nobody is ever this {persona.label}: the personas before take them all"
            yield document.problem(("personas", index), message, "move it up")


def _cadences(policy: Policy, document: Document) -> Iterator[Problem]:
    """Cadences that no lead ever gets: the first that is for a segment has it."""
    taken: set[str] = set()
    names = {segment.name for segment in policy.segments}
    for index, cadence in enumerate(policy.cadences):
        wanted = set(cadence.segments) or names
        if wanted <= taken:
            message = f"no lead ever gets the cadence {cadence.name}: those before it are for all its segments"
            yield document.problem(("cadences", index, "name"), message, "move it up, or take it out")
        taken |= wanted


def _languages(document: Document) -> Iterator[Problem]:
    """Languages that there are not: nobody would ever get what is written in them."""
    places: list[tuple[str | int, ...]] = [
        ("language",),
        *(("templates", index, "language") for index in range(len(document.data.get("templates") or []))),
    ]
    for loc in places:
        at = document.data if len(loc) == 1 else document.data["templates"][loc[1]]
        code = at.get("language")
        if code is not None and code not in LANGUAGES:
            guess = meant(code)
            hint = f"{LANGUAGES[guess]} is {guess}" if guess else "the codes are those of ISO 639-1: en, fi, sv"
            yield document.problem(loc, f'there is no language "{code}": nobody would get this', hint)


def _reach(policy: Policy, document: Document) -> Iterator[Problem]:
    """Engagement limits that no lead can reach, because every signal saturates below."""
    most = 0.0
    for rule in policy.signals.values():
        if rule.points > 0:
            if rule.saturation <= 0:
                return
            most += rule.saturation
    for stage, condition in policy.stages.items():
        limits = condition.limits("engagement.score")
        if limits and min(limits) >= most:
            message = f"engagement never passes {most:g}: that is what all signals give together at most"
            yield document.problem(("stages", stage), message, "raise points and saturation, or lower the limit")
