"""YAML 1.2 scalars, refused constructs, and the place of every part."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.policy.core.document import MAX_BYTES, read_document
from services.policy.core.problems import PolicyError


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("NO", "NO"),
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("y", "y"),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-12", -12),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 17),
        ("1_000", "1_000"),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("22:22", "22:22"),
        ("2026-01-01", "2026-01-01"),
        (".inf", ".inf"),
        ("=", "="),
        ("1" * 30, float("1" * 30)),
        ("0x" + "1" * 30, "0x" + "1" * 30),
        ('"12"', "12"),
        ("'true'", "true"),
    ],
)
def test_scalars_are_yaml_1_2(scalar: str, value: object) -> None:
    found = read_document(f"a: {scalar}").data["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line", "column", "words"),
    [
        ("a: 1\nb: 2\na: 3\n", 3, 1, "stands twice; first in line 1"),
        ("a: &x 1\nb: 2\n", 1, 4, "the anchor &x"),
        ("a: 1\nb: *x\n", 2, 4, "the alias *x"),
        ("a: !!python/name:os.system 1\n", 1, 4, "the tag"),
        ("a: 1\n---\nb: 1\n", 2, 1, "second document"),
        ("a: [1, 2\nb: 3\n", 2, 2, "not YAML"),
        ("a: 'x\n", 2, 1, "not YAML"),
        ("a: b: c\n", 1, 5, "not YAML"),
        ("\ta: 1\n", 1, 1, "not YAML"),
        ("a: 1\nb: \x00\n", 2, 4, "a character"),
        ("a: \ud800\n", 1, 4, "a character"),
        ("", 1, 1, "empty"),
        ("# nothing\n", 1, 1, "empty"),
        ("[" * 40, 1, 17, "deeper"),
        ("? [a]\n: 1\n", 1, 3, "plain word"),
        ("a: " + "x" * MAX_BYTES, 0, 0, "longer"),
    ],
)
def test_what_is_refused_has_a_place(text: str, line: int, column: int, words: str) -> None:
    with pytest.raises(PolicyError) as caught:
        read_document(text)
    problem = caught.value.problems[0]
    assert (problem.line, problem.column) == (line, column)
    assert words in problem.message
    assert words in str(caught.value)


def test_every_part_has_its_place() -> None:
    document = read_document("a:\n  - b: 1\n    c: 'x'\n")
    assert document.place(("a", 0, "c")) == (3, 8)
    assert document.place(("a", 0, "c"), key=True) == (3, 5)
    assert document.place(("a", 0, "missing")) == (2, 5)
    assert document.place(("nowhere",)) == (1, 1)
    assert document.problem(("a", 0, "b"), "bad", "mend").path == "a.0.b"


@pytest.mark.parametrize(
    ("text", "inside", "place"),
    [
        ("a: x && y\n", (1, 6), (1, 9)),
        ('a: "x && y"\n', (1, 6), (1, 10)),
        ("a: |\n  x &&\n  y\n", (2, 1), (3, 3)),
        ("a: >-\n  x &&\n  yy\n", (1, 6), (3, 3)),
        ("a: >-\n  x &&\n  yy\n", (1, 1), (2, 3)),
        ("a: >-\n  x\n", (1, 99), (1, 1)),
        ("a: |\n  x\n", (9, 1), (10, 1)),
    ],
)
def test_a_place_inside_a_condition_is_a_place_in_the_file(
    text: str, inside: tuple[int, int], place: tuple[int, int]
) -> None:
    assert read_document(text).condition_place(("a",), *inside) == place


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_problems(text: str) -> None:
    found: list[object] = []
    try:
        found.append(read_document(text))
    except PolicyError as error:
        found += error.problems
    assert found
