"""What pydantic says of a file's shape, in words for people, with line and column."""

from typing import Any

from pydantic import BaseModel, ValidationError

from services.policy.core import model
from services.policy.core.document import Document
from services.policy.core.problems import Problem, did_you_mean

_MESSAGES = {
    "missing": "is missing",
    "string_type": "a text is needed here",
    "int_type": "a whole number is needed here",
    "float_type": "a number is needed here",
    "bool_type": "true or false is needed here",
    "list_type": "a list is needed here",
    "dict_type": "a group of settings is needed here",
    "model_type": "a group of settings is needed here",
}


def shape_problems(document: Document, error: ValidationError) -> list[Problem]:
    """Every problem that pydantic found, at its place in the file."""
    return [_problem(document, one) for one in error.errors(include_url=False)]


def _problem(document: Document, one: Any) -> Problem:
    loc = _in_file(document.data, one["loc"])
    kind = one["type"]
    if kind == "extra_forbidden":
        hint = did_you_mean(str(loc[-1]), _fields(loc[:-1]))
        return document.problem(loc, f'"{loc[-1]}" is not a setting here', hint, key=True)
    if kind == "missing":
        return document.problem(loc, f'"{loc[-1]}" is missing', "add it")
    if kind == "literal_error":
        if isinstance(one.get("input"), str) and loc and str(loc[-1]) == one["input"]:
            return document.problem(
                loc, f'"{one["input"]}" is not known here; one of {one["ctx"]["expected"]}', key=True
            )
        return document.problem(loc, f"one of {one['ctx']['expected']} is needed here")
    if kind == "string_pattern_mismatch":
        message = f'"{one["input"]}" is not written as it must be'
        return document.problem(loc, message, _described(loc), key="[key]" in one["loc"])
    if kind == "value_error":
        return document.problem(loc, str(one["ctx"]["error"]))
    message = _MESSAGES.get(kind) or one["msg"][:1].lower() + one["msg"][1:]
    hint = "put quotes around it" if kind == "string_type" else ""
    return document.problem(loc, message, hint)


def _in_file(data: Any, loc: tuple[int | str, ...]) -> tuple[int | str, ...]:
    """The part of pydantic's location that the file has: `[key]` and names of union members are left out."""
    found: list[int | str] = []
    for step in loc:
        if isinstance(data, list) and isinstance(step, int):
            data = data[step]
        elif isinstance(data, dict) and step != "[key]":
            data = data.get(str(step))
        else:
            break
        found.append(step)
    return tuple(found)


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    """Names of the settings that may stand at a place."""
    at: Any = model.PolicyFile
    for step in loc:
        if isinstance(at, type) and issubclass(at, BaseModel):
            field = next((f for n, f in at.model_fields.items() if (f.alias or n) == step), None)
            at = field.annotation if field else None
        else:
            at = getattr(at, "__args__", (None,))[-1]
    return [field.alias or name for name, field in getattr(at, "model_fields", {}).items()]


def _described(loc: tuple[int | str, ...]) -> str:
    """How a text at this place is written."""
    last = str(loc[-1]) if loc else ""
    if last == "shop_url":
        return "write a full address: https://shop.example.com"
    if last == "language":
        return "two small letters: fi"
    if "countries" in [str(step) for step in loc]:
        return "two capital letters: FI"
    return "lower case letters, digits and _; begin with a letter"
