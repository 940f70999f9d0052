"""What the schema says, for editors (JSON Schema) and for readers (docs/configuration.md).

``python -m proxy.policy.reference > docs/configuration.md`` makes the page anew; a test holds the two together.
"""

import re
import sys
import typing
from collections.abc import Iterator
from typing import Any, Final

import yaml
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from proxy.policy.schema import Config
from proxy.policy.section import Section
from proxy.policy.spelling import Shorthand, Spelling
from proxy.policy.validation import bare_type

_HEAD: Final = """\
# The policy file, key by key

This page is made from the schema. To make it anew: `python -m proxy.policy.reference > docs/configuration.md`.
For editors, `sluicegate check --json-schema` prints the same as JSON Schema; `config.example.yaml` is a whole policy to
start from; `sluicegate check FILE` tells every error of a file at once, with its line.

* **Unknown keys are errors**, as are keys given twice and keys without a value. Top-level keys that begin with `x-` are
  free: homes for YAML anchors, which work with `<<`.
* **Durations** are written `250ms 5s 10m 1h 1d`; **sizes** `512B 10KiB 10MiB 1GiB` (1024) or `KB MB GB` (1000);
  **numbers** may have underscores: `2_000_000`.
* **Rates** are written `600/1m`: 600 in any stretch of one minute. Of `kind: calendar` they are `100_000/day` (hour,
  day, week, month) in the limit's `time_zone`.
* **Amounts** of money are written `$5`, `$0.50`, `$25_000`, to nine decimals; **shares** `30%`; **prices** `$3/1M` (a
  million tokens).
* **Variables**: `${VAR}` must be set, `${VAR:-default}` falls back, `${file:/run/secrets/x}` is a file's text without
  its final newline, `$${` is a literal `${`. Inside `{…}` and `[…]` YAML wants quotes around them. Messages never show
  what came from a variable.
* **Files** that are named are looked for beside the file that names them.
* **Several files**: `include: [tenants.yaml, routes.d/*.yaml]` adds files in this order, those that a wildcard matches
  by name (a leading dot hides one; wildcards stand in a file's name only). Lists go on: the route for `/**` belongs
  into the last file. Sections are filled together; a value or a named entry (a limit, an upstream, a tenant, …) that is
  given twice is an error. Only `version` may stand in each. A plain name that is not there is an error, a wildcard that
  matches nothing a warning, a pipe or a folder among its matches an error. Included files include none themselves;
  anchors and `x-` keys stay in their file.
* **Overlays**: `--overlay prod.yaml`, of every command that reads a policy, puts a file over all that; several in turn.
  Maps are gone into; of a list whose items have a `name` (routes) the items of one name are, too, and a new item comes
  before the one that the overlay names after it, else last; all else is replaced, and `null` takes a key away.
  `sluicegate explain --effective --origin` prints what came of it, each value with its file and line.
* **Ends**: `2026-12-31` is the end of that day in UTC; `2026-12-31T18:00:00+01:00` is exact.
* A value written as **`x` or one of them alone** may be given without its list or map.
"""


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file as written, variables and shorthands included."""
    schema = Config.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "Sluicegate policy"
    schema["patternProperties"] = {"^x-": {}}
    return schema


def page() -> str:
    """The reference as Markdown."""
    parts = [_HEAD]
    seen: dict[type[Section], str] = {}
    sections = list(_sections("", Config, seen))
    for label, model in sections:
        parts.append(f"## `{label}`\n" if label else "## The file\n")
        if model is not Config and model.__doc__ and "map with these keys" not in model.__doc__:
            parts.append(model.__doc__.strip() + "\n")
        parts.append(_table(model, seen))
    return "\n".join(parts)


def _sections(label: str, model: type[Section], seen: dict[type[Section], str]) -> Iterator[tuple[str, type[Section]]]:
    """Every section once, at the first place that has it, outer before inner."""
    seen[model] = label
    yield label, model
    for name, info in _fields(model):
        step, inner = _inner(info.annotation)
        if inner is not None and inner not in seen:
            yield from _sections(f"{label}.{name}{step}".lstrip("."), inner, seen)


def _fields(model: type[Section]) -> Iterator[tuple[str, FieldInfo]]:
    for name, info in model.model_fields.items():
        yield info.alias or name, info
    if model.members is not None:
        yield "NAME", FieldInfo(annotation=model.members, default=None, description="As many as you like.")


def _inner(kind: Any) -> tuple[str, type[Section] | None]:
    """The section that a key leads to, and how the path to it goes on."""
    model = bare_type(kind)
    if isinstance(model, type) and issubclass(model, Section):
        return "", model
    origin = typing.get_origin(model)
    if origin in (list, dict):
        step, inner = _inner(typing.get_args(model)[-1])
        return ("[]" if origin is list else ".NAME") + step, inner
    return "", None


def _table(model: type[Section], seen: dict[type[Section], str]) -> str:
    rows = ["| key | value | default | |", "|---|---|---|---|"]
    for name, info in _fields(model):
        cells = [f"`{name}`", _value(info.annotation, info.metadata, seen), _default(info), info.description or ""]
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows) + "\n"


def _default(info: FieldInfo) -> str:
    if info.default is PydanticUndefined and info.default_factory is None:
        return "required"
    if info.default_factory is not None or info.default in (None, {}):
        return ""
    written = yaml.safe_dump(info.default, default_flow_style=True, sort_keys=False, width=1000)
    return "`" + written.removesuffix("...\n").strip() + "`"


def _value(kind: Any, notes: list[Any], seen: dict[type[Section], str]) -> str:
    """How a key's value is written, in words."""
    for note in notes:
        if isinstance(note, Spelling):
            return note.what
        if isinstance(note, Shorthand):
            return f"{_value(kind, [], seen)}, {note.what}"
    origin, options = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Annotated:
        return _value(options[0], list(options[1:]), seen)
    if origin is list:
        return f"list: {_value(options[0], [], seen)}"
    if origin is dict:
        return f"map by name: {_value(options[1], [], seen)}"
    if options:  # what may be absent
        return _value(next(option for option in options if option is not type(None)), [], seen)
    label = seen[kind]
    return f"[`{label}`](#{re.sub('[^a-z0-9_ -]', '', label.lower())})"


if __name__ == "__main__":
    sys.stdout.write(page())
