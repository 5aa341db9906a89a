"""What we say about ourselves: one metrics registry a process, and log lines without personal data or secrets.

A room defines its own metrics next to the code that moves them, with `registry=REGISTRY`.
"""

import logging
import os
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Final, Literal, TextIO

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

REGISTRY: Final = CollectorRegistry()
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)
GCCollector(registry=REGISTRY)

SECRET_FIELD = re.compile(
    r"token|secret|password|passwd|authorization|cookie|api_?key|write_?key|private", re.IGNORECASE
)
EMAIL = re.compile(r"[\w.+%'-]{1,64}@([\w-]+(?:\.[\w-]+)+)")
URL_PASSWORD = re.compile(r"(\b[a-z][a-z0-9+.-]*://[^:/@\s]*):[^@/\s]+@", re.IGNORECASE)
OUR_TOKEN = re.compile(r"\b(lr[a-z]*_[a-z]*_?)[A-Za-z0-9_-]{16,}")
HIDDEN = "***"

# Chatty at info level, and of no use there.
QUIET = ("aiokafka", "alembic", "asyncio", "httpx", "httpcore", "uvicorn.access", "uvicorn.error")


def hide(value: Any) -> Any:
    """`value` with e-mail addresses cut to their domain, and passwords and our tokens hidden, however deep they lie."""
    if isinstance(value, str):
        value = URL_PASSWORD.sub(rf"\1:{HIDDEN}@", value)
        value = OUR_TOKEN.sub(rf"\1{HIDDEN}", value)
        return EMAIL.sub(rf"{HIDDEN}@\1", value)
    if isinstance(value, dict):
        return {
            key: HIDDEN if isinstance(key, str) and SECRET_FIELD.search(key) and item is not None else hide(item)
            for key, item in value.items()
        }
    if isinstance(value, (list, tuple, set, frozenset)):
        return [hide(item) for item in value]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"<{len(value)} bytes>"
    if isinstance(value, BaseException):
        return hide(str(value))
    return value


def _hiding(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    for key, value in line.items():
        # `_record` and `exc_info` are the logging library's own; a traceback's text is hidden once it is text.
        if not key.startswith("_") and key != "exc_info":
            line[key] = HIDDEN if SECRET_FIELD.search(key) and value is not None else hide(value)
    return line


def coloured(stream: TextIO) -> bool:
    """Whether colours may go there: a terminal, and nobody has set NO_COLOR (no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR")


def set_up_logging(form: Literal["json", "console"] | None = None, level: str = "info") -> None:
    """Send our lines and those of our libraries to standard error, one line an event.

    Args:
        form: `json` for machines, `console` for people; None: `console` on a terminal, else `json`.
        level: `debug`, `info`, `warning` or `error`.
    """
    chosen = form or ("console" if sys.stderr.isatty() else "json")
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _hiding,
    ]
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer(default=str)
        if chosen == "json"
        else structlog.dev.ConsoleRenderer(colors=coloured(sys.stderr))
    )
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
