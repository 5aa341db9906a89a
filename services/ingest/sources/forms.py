"""What does a form body hold? URL-encoded or multipart fields, and PHP's bracket names as nested objects."""

import re
from collections.abc import Mapping
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any, Final
from urllib.parse import parse_qsl

from services.ingest.sources.base import BadBody

FIELDS_MAX: Final = 2000
BRACKETS_MAX: Final = 8  # Mailchimp nests four deep
_BRACKETS = re.compile(r"\[([^\[\]]*)\]")


def fields(body: bytes, content_type: str = "") -> list[tuple[str, str]]:
    """The fields of a form in their order.

    Raises:
        BadBody: `empty_body`, `malformed_form`.
    """
    if not body.strip():
        raise BadBody("empty_body", "the request has no body")
    if content_type.lower().startswith("multipart/form-data"):
        return _multipart(body, content_type)
    try:
        text = body.strip().decode("utf-8", "replace")
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace")
    except ValueError as error:
        raise BadBody("malformed_form", f"the body is no form: {error}") from error
    if not pairs:
        raise BadBody("malformed_form", "the body is no form")
    return [(_stored(name), _stored(value)) for name, value in pairs]


def _stored(text: str) -> str:
    """The text without NUL, which PostgreSQL cannot keep."""
    return text.replace("\0", "\ufffd") if "\0" in text else text


def _multipart(body: bytes, content_type: str) -> list[tuple[str, str]]:
    # The parser takes a message with its header; anything that is no multipart comes back as one part.
    header = content_type.encode("latin-1", "replace").replace(b"\r", b" ").replace(b"\n", b" ")
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + header + b"\r\n\r\n" + body)
    if not message.is_multipart():
        raise BadBody("malformed_form", "the multipart body has no parts")
    made: list[tuple[str, str]] = []
    for part in message.iter_parts():
        disposition = part.get("content-disposition")
        name = disposition.params.get("name") if disposition is not None else None
        payload = part.get_payload(decode=True)
        if name and isinstance(payload, bytes) and not part.get_filename():
            made.append((_stored(str(name)), _stored(payload.decode("utf-8", "replace"))))
        if len(made) > FIELDS_MAX:
            raise BadBody("malformed_form", f"the form has more than {FIELDS_MAX} fields")
    return made


def nested(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """`data[merges][EMAIL]=x` as `{"data": {"merges": {"EMAIL": "x"}}}`. Of a name given twice the first counts."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        cut = name.find("[")
        path = [name] if cut <= 0 else [name[:cut], *_BRACKETS.findall(name[cut:])][: BRACKETS_MAX + 1]
        at: Any = made
        for step in path[:-1]:
            at = at.setdefault(step, {})
            if not isinstance(at, dict):
                break  # `a=1&a[b]=2`: the plain value was first
        if isinstance(at, dict):
            last = path[-1]
            if last == "" and len(path) > 1:  # PHP's list: `tags[]=a&tags[]=b`
                last = str(len(at))
            at.setdefault(last, value)
    return made


def first(pairs: list[tuple[str, str]], name: str) -> str | None:
    """The first value of a field, or None."""
    return next((value for field, value in pairs if field == name), None)


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Each list of an object replaced by its first element: form builders send every answer as a list."""
    return {name: (value[0] if isinstance(value, list) and value else value) for name, value in values.items()}
