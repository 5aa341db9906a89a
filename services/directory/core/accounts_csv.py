"""What does this file of accounts say? Reads CSV as spreadsheets and CRMs write it; bad rows are told one by one."""

import csv
import io
import re
import unicodedata
from collections.abc import Callable, Generator, Iterator, Mapping
from typing import Any, Final

import msgspec

from services.directory.core import fields
from services.directory.core.fields import FieldError
from services.directory.core.people import Rep

BYTES_MAX = 16 * 1024 * 1024
ROWS_MAX = 200_000
BAD_MAX = 1000  # told one by one; the rest is counted
SHOWN_MAX = 100  # characters of a bad value

# Column to what other systems call it, compared without case, accents and separators.
ALIASES: Final[dict[str, tuple[str, ...]]] = {
    "domain": ("companydomain", "domainname", "website", "web", "url", "companyurl", "verkkotunnus", "kotisivu", "webbplats", "doman"),
    "name": ("company", "companyname", "account", "accountname", "organization", "organisation", "yritys", "yrityksennimi", "nimi", "foretag", "namn"),
    "industry": ("sector", "toimiala", "bransch"),
    "employees": ("numberofemployees", "employeecount", "headcount", "companysize", "size", "henkilosto", "henkilostomaara", "tyontekijat", "anstallda"),
    "country": ("countrycode", "maa", "land"),
    "named": ("namedaccount", "keyaccount", "strategic", "nimetty", "avainasiakas"),
    "owner": ("accountowner", "companyowner", "rep", "salesrep", "omistaja", "vastuuhenkilo", "agare", "ansvarig"),
    "networks": ("network", "ip", "ips", "ipranges", "ipaddresses", "cidr", "verkot", "verkko", "natverk"),
}  # fmt: skip
_NAMES: Final = {alias: column for column, aliases in ALIASES.items() for alias in (column, *aliases)}
_DELIMITERS: Final = ",;\t|"
UNCLOSED: Final[list[str]] = []  # stands for the cells of a line whose quotation mark is never closed


class BadRow(msgspec.Struct, frozen=True, kw_only=True):
    """Why a row was not taken. `line` counts from 1, the header included; `column` is as the file names it."""

    line: int
    column: str
    value: str
    message: str
    hint: str


class AccountRow(msgspec.Struct, frozen=True, kw_only=True):
    """A good row: only what the file has columns for, so that the rest of an account stays as it is."""

    line: int
    domain: str
    values: dict[str, Any]


class AccountsFile(msgspec.Struct, kw_only=True):
    """What a file holds. `bad` has at most 1,000 rows of the `bad_total`."""

    rows: list[AccountRow] = msgspec.field(default_factory=list)
    bad: list[BadRow] = msgspec.field(default_factory=list)
    bad_total: int = 0
    ignored_columns: list[str] = msgspec.field(default_factory=list)

    def refuse(self, row: BadRow) -> None:
        """Count a bad row."""
        self.bad_total += 1
        if len(self.bad) < BAD_MAX:
            self.bad.append(row)


def parse_accounts(body: bytes, reps: Mapping[str, Rep], taken: Mapping[str, str] | None = None) -> AccountsFile:
    """Read a file of accounts.

    Args:
        body: CSV with a header, parted by comma, semicolon, tab or bar; UTF-8, UTF-16 with a mark, or Windows-1252.
        reps: Who may own an account.
        taken: Networks that accounts hold already, to their domains.

    Raises:
        FieldError: When no row can be read at all: too large, no header, no column of domains.
    """
    if len(body) > BYTES_MAX:
        msg = f"the file has {len(body):,} bytes"
        raise FieldError(msg, f"split it into files of at most {BYTES_MAX // 1_048_576} MiB")
    records = _records(_decoded(body))
    header_line, header = next(records, (1, []))
    result = AccountsFile()
    columns = _columns(header, header_line, result)
    sheet = _Sheet(header, columns, reps, taken or {})
    for number, (line, cells) in enumerate(records):
        if number >= ROWS_MAX:
            msg = f"the file has more than {ROWS_MAX:,} rows"
            raise FieldError(msg, "split it")
        if cells is UNCLOSED:
            message = "a quotation mark is opened and never closed"
            result.refuse(BadRow(line=line, column="", value="", message=message, hint="close it, or take it out"))
            continue
        sheet.read(line, cells, result)
    return result


def _decoded(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        return body.decode("utf-16", errors="replace")
    if b"\x00" in body:
        msg = "this is no text file"
        raise FieldError(msg, "save the sheet as CSV (UTF-8)")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError:
        return body.decode("cp1252", errors="replace")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """The line a record begins on, and its cells; blank records are left out."""
    skipped = 0
    if text[:4].lower() == "sep=":  # Excel's own note about the delimiter
        text, skipped = text.partition("\n")[2], 1
    first = next((row for row in text.splitlines() if row.strip()), "")
    outside = re.sub(r'"[^"]*"', "", first)
    delimiter = max(_DELIMITERS, key=outside.count)
    lines = list(io.StringIO(text, newline=""))
    begun = 0
    while begun < len(lines):
        begun, unclosed = yield from _run(lines, begun, delimiter, skipped)
        if unclosed:
            yield begun + skipped, UNCLOSED


def _run(
    lines: list[str], start: int, delimiter: str, skipped: int
) -> Generator[tuple[int, list[str]], None, tuple[int, bool]]:
    """The records from a line on, to the end of the file or to a line whose quotation mark is never closed.

    Such a line would swallow all that follow. They hold no odd mark any more, so it happens once in a file.

    Returns:
        How many lines are done, and whether the last of them was such a line.
    """
    reader = csv.reader(lines[start:], delimiter=delimiter)
    before = start
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return len(lines), False
        except csv.Error as error:
            msg = f"line {start + reader.line_num + skipped}: {error}"
            raise FieldError(msg, "close the quotation mark of that line") from error
        begin, before = before, start + reader.line_num
        if before == len(lines) and before - begin > 1 and not _closed(lines[begin:], delimiter):
            return begin + 1, True
        if any(cell.strip() for cell in cells):
            yield begin + 1 + skipped, cells


def _closed(lines: list[str], delimiter: str) -> bool:
    try:
        list(csv.reader(lines, delimiter=delimiter, strict=True))
    except csv.Error as error:
        return "unexpected end" not in str(error)
    return True


def _columns(header: list[str], line: int, result: AccountsFile) -> dict[int, str]:
    columns: dict[int, str] = {}
    for index, text in enumerate(header):
        column = _NAMES.get(_plain(text))
        if column is None:
            if text.strip():
                result.ignored_columns.append(text.strip()[:SHOWN_MAX])
        elif column in columns.values():
            msg = f"line {line}: two columns hold the {column}"
            raise FieldError(msg, "leave one of them out")
        else:
            columns[index] = column
    if "domain" not in columns.values():
        msg = f"line {line}: there is no column of domains"
        raise FieldError(msg, f"the first line must name the columns: {', '.join(ALIASES)}")
    return columns


class _Sheet:
    """The rows of one file on their way in: what they must agree with is kept beside them."""

    def __init__(
        self, header: list[str], columns: dict[int, str], reps: Mapping[str, Rep], taken: Mapping[str, str]
    ) -> None:
        self.header = header
        self.columns = columns
        self.readers = _readers(reps)
        self.lines: dict[str, int] = {}
        self.networks = dict(taken)

    def read(self, line: int, cells: list[str], result: AccountsFile) -> None:
        """Take one row or tell what is wrong with it."""
        if any(cell.strip() for cell in cells[len(self.header) :]):
            message = f"the row has {len(cells)} cells, the header {len(self.header)}"
            hint = "put values that hold the delimiter in quotes"
            result.refuse(BadRow(line=line, column="", value="", message=message, hint=hint))
            return
        values: dict[str, Any] = {}
        problems: list[BadRow] = []
        for index, column in self.columns.items():
            if index >= len(cells):
                continue
            try:
                values[column] = self.readers[column](cells[index])
            except FieldError as error:
                shown, name = cells[index].strip()[:SHOWN_MAX], self.header[index].strip()
                problems.append(BadRow(line=line, column=name, value=shown, message=error.message, hint=error.hint))
        if not problems:
            problems = self._clashes(line, values)
        for problem in problems:
            result.refuse(problem)
        if not problems:
            result.rows.append(AccountRow(line=line, domain=values.pop("domain"), values=values))

    def _clashes(self, line: int, values: Mapping[str, Any]) -> list[BadRow]:
        domain = values.get("domain")
        if domain is None:
            return [
                BadRow(
                    line=line,
                    column="domain",
                    value="",
                    message="the row has no domain",
                    hint="write it like nordwind.example",
                )
            ]
        if domain in self.lines:
            message = f"{domain} stands on line {self.lines[domain]} already"
            return [BadRow(line=line, column="domain", value=domain, message=message, hint="keep one of the two rows")]
        claimed: tuple[str, ...] = values.get("networks", ())
        for network in claimed:
            holder = self.networks.get(network, domain)
            if holder != domain:
                message = f"{network} belongs to {holder} already"
                return [
                    BadRow(
                        line=line, column="networks", value=network, message=message, hint="a network has one account"
                    )
                ]
        self.lines[domain] = line
        self.networks.update(dict.fromkeys(claimed, domain))
        return []


def _readers(reps: Mapping[str, Rep]) -> dict[str, Callable[[str], Any]]:
    return {
        "domain": fields.account_domain,
        "name": fields.line,
        "industry": fields.word,
        "employees": fields.head_count,
        "country": fields.country,
        "named": fields.yes_or_no,
        "owner": lambda text: fields.rep_id(text, reps),
        "networks": fields.networks,
    }


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKD", text[:60].casefold())
    return "".join(sign for sign in folded if sign.isalnum())
