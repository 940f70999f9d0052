"""The names under which the gateway's metrics are exposed, as rules and dashboards have to write them."""

import re
from typing import Final

from proxy.telemetry.metrics import FAMILIES
from proxy.telemetry.reference import exposed

NAMES: Final = {f"{exposed(family)}{end}" for family in FAMILIES for end in ("", "_bucket", "_sum", "_count")}
_OURS: Final = re.compile(r"(?<![:\w])sluicegate_\w+(?![:\w])")  # not a recorded one: those have colons


def unknown(promql: str) -> set[str]:
    """Those that the query asks for and nothing exposes: it is told of no error, it just has no data."""
    return set(_OURS.findall(promql)) - NAMES
