"""The extra ``otlp``: whether it is there, and what needs it. Nothing of it is imported unless somebody is to hear."""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from proxy.otlp import messages

MISSING: Final = "needs an extra that is not installed: pip install 'sluicegate[otlp]'"
_NEEDED: Final = ("opentelemetry", "opentelemetry.proto", "opentelemetry.proto.collector", "google.protobuf")


def is_installed() -> bool:
    try:
        return all(importlib.util.find_spec(name) is not None for name in _NEEDED)
    except ModuleNotFoundError:  # of what another name is below
        return False


def load() -> "type[messages.Messages]":
    """Blocks for some 50 ms, the first time. Raises: ImportError."""
    return cast("type[messages.Messages]", importlib.import_module("proxy.otlp.messages").Messages)
