"""The contracts as other tools read them: a JSON Schema for each topic's messages, and one AsyncAPI document.

Pure: dictionaries in, dictionaries out. `make schemas` writes them to `schemas/json` and `schemas/asyncapi.yaml`; a test
holds the files to what this module says, and to what was published before.
"""

import inspect
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final

import msgspec

from schemas import messages
from schemas.codec import CloudEvent
from schemas.messages import LeadOutcome, LeadRouted, LeadScored, Tracking
from schemas.signals import SIGNALS, event_type
from schemas.topics import FLOW, LEAD_OUTCOMES, LEAD_ROUTED, LEAD_SCORED, STAGES, TRACKING_EVENTS, Topic

Document = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
DATA_OF: Final[dict[str, type[msgspec.Struct]]] = {
    TRACKING_EVENTS.name: Tracking,
    LEAD_SCORED.name: LeadScored,
    LEAD_ROUTED.name: LeadRouted,
    LEAD_OUTCOMES.name: LeadOutcome,
}
_REF: Final = "#/$defs/{name}"
_ATTRIBUTE = re.compile(r"^ {4}(\w+): (.*)$")


def schema_file(topic: Topic) -> str:
    """The name of a topic's schema file."""
    return f"{topic.name}.schema.json"


def message_schema(topic: Topic) -> Document:
    """The JSON Schema of one record's value on `topic`: the whole CloudEvent.

    Unknown fields are allowed: a newer writer may send more than a reader knows.
    """
    data = DATA_OF[topic.name]
    # A generic alias is a type to msgspec, but not to a type checker.
    envelope: Any = CloudEvent[_readable(data)]  # type: ignore[misc]
    (top,), parts = msgspec.json.schema_components([envelope], ref_template=_REF)
    body: Document = parts.pop(top["$ref"].removeprefix("#/$defs/"))
    properties: Document = body["properties"]
    properties["specversion"] = {"const": "1.0"}
    properties["type"] = {"type": "string", "minLength": 1}
    for name in ("id", "source"):
        properties[name] = {"type": "string", "minLength": 1}
    if topic is not TRACKING_EVENTS:
        properties["type"] = {"const": event_type(topic.name)}
    else:
        properties["type"]["description"] = (
            "leadrouter.<signal>.v1 for our signals; any other type when data.signal names it"
        )
        parts["Tracking"]["properties"]["signal"]["examples"] = sorted(SIGNALS)
    _say_time(properties["time"])
    for part in parts.values():
        _say_fields(part)
    return {
        "$schema": DIALECT,
        "$id": f"urn:lead-router:{topic.name}",
        "title": topic.name,
        "description": f"One record of {topic.name}: {topic.holds}. CloudEvents 1.0, structured mode.",
        "type": "object",
        "properties": properties,
        "required": sorted({*body["required"], "specversion"}),
        "$defs": dict(sorted(parts.items())),
    }


def _readable(data: type[msgspec.Struct]) -> type[msgspec.Struct]:
    """The struct with raw JSON shown as the object that it is: msgspec cannot describe the default of a `Raw`."""
    fields = msgspec.structs.fields(data)
    if all(field.type is not msgspec.Raw for field in fields):
        return data
    told: list[tuple[str, Any, Any]] = []
    for field in fields:
        kind, default = field.type, msgspec.field()
        if kind is msgspec.Raw:
            kind, default = dict[str, Any], msgspec.field(default_factory=dict)
        elif field.default is not msgspec.NODEFAULT:
            default = msgspec.field(default=field.default)
        elif field.default_factory is not msgspec.NODEFAULT:
            default = msgspec.field(default_factory=field.default_factory)
        told.append((field.name, kind, default))
    return msgspec.defstruct(data.__name__, told, kw_only=True, namespace={"__doc__": data.__doc__})


def _say_fields(part: Document) -> None:
    """Put what the struct's docstring says of its attributes to the fields, and say which texts are times."""
    kind: type[msgspec.Struct] = getattr(messages, part["title"])
    text, _, attributes = inspect.cleandoc(kind.__doc__ or "").partition("Attributes:\n")
    part["description"] = " ".join(text.split())
    field = ""
    said: dict[str, str] = {}
    for line in attributes.splitlines():
        if found := _ATTRIBUTE.match(line):
            field = found[1]
            said[field] = found[2]
        elif line.strip():
            said[field] += f" {line.strip()}"
    for name, words in said.items():
        part["properties"][name]["description"] = words
    for one in msgspec.structs.fields(kind):
        if one.type in (datetime, datetime | None):
            _say_time(part["properties"][one.name])


def _say_time(text: Document) -> None:
    for one in (text, *text.get("anyOf", ())):
        if one.get("type") == "string":
            one["format"] = "date-time"


def asyncapi(version: str) -> Document:
    """The flow as an AsyncAPI 3 document, with the schemas beside it in `json/`."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Lead Router",
            "version": version,
            "description": "Four stages that meet only in these topics. Every record is a CloudEvent in structured JSON mode.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {topic.name: _channel(topic) for topic in FLOW},
        "operations": dict(_operations()),
    }


def _channel(topic: Topic) -> Document:
    return {
        "address": topic.name,
        "title": topic.name,
        "description": topic.holds,
        "messages": {
            DATA_OF[topic.name].__name__: {
                "name": DATA_OF[topic.name].__name__,
                "contentType": "application/cloudevents+json",
                "payload": {
                    "schemaFormat": "application/schema+json;version=draft-2020-12",
                    "schema": {"$ref": f"./json/{schema_file(topic)}"},
                },
                "bindings": {"kafka": {"key": {"type": "string", "description": topic.key}}},
            }
        },
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "topicConfiguration": {
                    "cleanup.policy": ["delete"],
                    "retention.ms": topic.retention_days * 86_400_000,
                },
            }
        },
    }


def _operations() -> Iterator[tuple[str, Document]]:
    for stage in STAGES:
        for topic in FLOW:
            for action, one in (("receive", topic.reader), ("send", topic.writer)):
                if one == stage:
                    yield (
                        f"{stage}.{action}.{topic.name}",
                        {
                            "action": action,
                            "channel": {"$ref": f"#/channels/{topic.name}"},
                            "summary": f"{stage} {'reads' if action == 'receive' else 'writes'} {topic.name}",
                        },
                    )


def breaks(old: Document, new: Document) -> list[str]:
    """What a reader or writer of the `old` schema would trip over in the `new` one, in words.

    Fields may be added with a default, words may be added to a list of words, docs may change. Nothing may go, nothing may
    become required, no type may change.
    """
    return list(_breaks(old, new, ""))


def _breaks(old: Any, new: Any, at: str) -> Iterator[str]:
    if not isinstance(old, dict) or not isinstance(new, dict):
        if old != new:
            yield f"{at}: was {old!r}, is {new!r}"
        return
    for group in ("properties", "$defs"):
        for name, was in old.get(group, {}).items():
            if name not in new.get(group, {}):
                yield f"{at}{group}/{name}: removed"
            else:
                yield from _breaks(was, new[group][name], f"{at}{group}/{name}/")
    for name in sorted(set(new.get("required", ())) - set(old.get("required", ()))):
        if "properties" in old or "properties" in new:
            yield f"{at}required: {name} was optional, or is new without a default"
    if gone := [word for word in old.get("enum", ()) if word not in new.get("enum", ())]:
        yield f"{at}enum: {', '.join(map(str, gone))} removed"
    shape = ("type", "const", "format", "$ref", "items", "prefixItems", "anyOf", "additionalProperties")
    for word in shape:
        if old.get(word) != new.get(word) and not (word == "anyOf" and _widened(old, new)):
            yield f"{at}{word}: was {old.get(word)!r}, is {new.get(word)!r}"


def _widened(old: Document, new: Document) -> bool:
    """Whether `new` allows everything that `old` allows: more alternatives, more words in one of them."""
    alternatives = new.get("anyOf", ())
    return all(any(not list(_breaks(was, one, "")) for one in alternatives) for was in old.get("anyOf", ({},)))
