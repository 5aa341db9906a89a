"""The published schemas: made from the code, sound, and never broken for who uses them today."""

import copy
import json
import subprocess

import jsonschema
import pytest
import yaml

from schemas.describe import DATA_OF, asyncapi, breaks, message_schema, schema_file
from schemas.topics import FLOW, LEAD_ROUTED, TRACKING_EVENTS
from tests.support.published import ROOT, files, schemas, version

PATHS = [f"schemas/json/{schema_file(topic)}" for topic in FLOW]


@pytest.mark.parametrize("path", files(), ids=lambda path: path.name)
def test_made_files_are_what_the_code_says(path):
    assert path.read_text() == files()[path], f"{path.name} has drifted: run `make schemas`"


@pytest.mark.parametrize("topic", FLOW, ids=lambda topic: topic.name)
def test_a_schema_is_one(topic):
    schema = message_schema(topic)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert schema["properties"]["specversion"] == {"const": "1.0"}
    assert {"id", "source", "type", "specversion", "data"} == set(schema["required"])


def test_every_topic_has_a_schema_and_nothing_else_is_published():
    assert set(DATA_OF) == {topic.name for topic in FLOW}
    found = {path.name for path in (ROOT / "schemas" / "json").iterdir()}
    assert found == {schema_file(topic) for topic in FLOW} | {"policy.schema.json"}


def test_what_docstrings_say_of_fields_stands_at_the_fields():
    fields = message_schema(LEAD_ROUTED)["$defs"]["LeadRouted"]["properties"]
    assert fields["fresh_until"]["description"].startswith("The notice is worth nothing as news after this")
    assert fields["fresh_until"]["anyOf"][0] == {"type": "string", "format": "date-time"}


# -- the flow as AsyncAPI


def test_the_asyncapi_document_states_the_flow():
    document = yaml.safe_load((ROOT / "schemas" / "asyncapi.yaml").read_text())
    assert document == asyncapi(version())
    assert document["asyncapi"] == "3.0.0"
    assert set(document["channels"]) == {topic.name for topic in FLOW}
    for topic in FLOW:
        writers = [o for o in of(document, topic.name) if o["action"] == "send"]
        readers = [o for o in of(document, topic.name) if o["action"] == "receive"]
        assert (len(writers), len(readers)) == (1, 1), "one writer, one reader"
        assert f"{topic.writer}.send.{topic.name}" in document["operations"]
        assert f"{topic.reader}.receive.{topic.name}" in document["operations"]


def test_every_reference_in_the_asyncapi_document_leads_somewhere():
    document = asyncapi(version())
    for reference in references(document):
        if reference.startswith("#/channels/"):
            assert reference.removeprefix("#/channels/") in document["channels"]
        else:
            assert (ROOT / "schemas" / reference).is_file(), reference


def of(document, channel):
    return [o for o in document["operations"].values() if o["channel"]["$ref"] == f"#/channels/{channel}"]


def references(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


# -- nothing is ever broken


def published(ref, path):
    """A schema as it stands in git at `ref`, or None where there is none."""
    shown = subprocess.run(["git", "show", f"{ref}:{path}"], cwd=ROOT, capture_output=True, check=False, timeout=30)
    return json.loads(shown.stdout) if shown.returncode == 0 else None


def refs():
    """What others may have in use: the last commits, the main branch, every release."""
    tags = subprocess.run(
        ["git", "tag", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30
    )
    return ["HEAD", "HEAD^", "origin/main", *tags.stdout.split()]


@pytest.mark.parametrize("path", PATHS)
def test_nothing_published_was_removed_or_made_required(path):
    new = schemas()[ROOT / path]
    assert not breaks(json.loads((ROOT / path).read_text()), new)
    for ref in refs():
        old = published(ref, path)
        if old is not None:
            assert not breaks(old, new), f"against {ref}"


BREAKING = {
    "a field is removed": lambda s: s["$defs"]["Tracking"]["properties"].pop("url"),
    "a field is required": lambda s: s["$defs"]["Tracking"]["required"].append("received_at"),
    "a new field without a default": lambda s: (
        s["$defs"]["Tracking"]["properties"].update(region={"type": "string"}),
        s["$defs"]["Tracking"]["required"].append("region"),
    ),
    "a type changes": lambda s: s["$defs"]["Tracking"]["properties"].update(untimed={"type": "string"}),
    "a word of a list goes": lambda s: s["$defs"]["Identifier"]["properties"]["kind"]["enum"].remove("crm"),
    "null is no longer allowed": lambda s: s["$defs"]["Tracking"]["properties"]["actor"]["anyOf"].pop(),
    "a struct is removed": lambda s: s["$defs"].pop("Identifier"),
    "unknown fields are refused": lambda s: s["$defs"]["Tracking"].update(additionalProperties=False),
    "the envelope changes": lambda s: s["properties"].pop("subject"),
}
HARMLESS = {
    "a field with a default": lambda s: s["$defs"]["Tracking"]["properties"].update(
        region={"anyOf": [{"type": "string"}, {"type": "null"}], "default": None}
    ),
    "one more word": lambda s: s["$defs"]["Identifier"]["properties"]["kind"]["enum"].append("phone"),
    "one more word that may be null": lambda s: s["$defs"]["Tracking"]["properties"]["actor"]["anyOf"][0][
        "enum"
    ].append("agent"),
    "other words in the docs": lambda s: s.update(description="new words"),
    "no longer required": lambda s: s["$defs"]["Tracking"]["required"].remove("signal"),
}


@pytest.mark.parametrize("change", BREAKING.values(), ids=BREAKING)
def test_a_breaking_change_is_seen(change):
    old = message_schema(TRACKING_EVENTS)
    new = copy.deepcopy(old)
    change(new)
    assert breaks(old, new)


@pytest.mark.parametrize("change", HARMLESS.values(), ids=HARMLESS)
def test_a_harmless_change_is_allowed(change):
    old = message_schema(TRACKING_EVENTS)
    new = copy.deepcopy(old)
    change(new)
    assert not breaks(old, new)
