"""Puts other rates into the text of a policy, and leaves every other letter as it is. Pure.

Also the policy that a log without one is measured by.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from proxy.policy.names import name_flaw

_RATE: Final = "rate"
_CONCURRENT: Final = "concurrent"
_NO_TIERS: Final = ("anonymous", "none", "default")  # the last stands for all others in limits


class NotFound(ValueError):
    """The text has no place of its own for a limit's rate: it stands in an alias or a merged map."""


def with_rates(text: str, rates: Mapping[str, str]) -> str:
    """``rates``: by limit, as they are to be written. Raises: NotFound."""
    root = yaml.compose(text, yaml.SafeLoader)
    limits = _below(root, "limits")
    places: list[tuple[int, int, str]] = []
    for name, written in rates.items():
        limit = _below(limits, name) if limits is not None else None
        value = next(
            (found for key in (_RATE, _CONCURRENT) if limit is not None and (found := _below(limit, key)) is not None),
            None,
        )
        if limit is None or value is None or not _encloses(limit, value):
            raise NotFound(f"the rate of {name} does not stand in the limit itself")
        places.append((value.start_mark.index, _end(value), written))
    for start, end, written in sorted(places, reverse=True):
        text = text[:start] + written + text[end:]
    return text


def overlay_of(rates: Mapping[str, str], in_flight: Collection[str] = ()) -> str:
    """The same as an overlay, for a policy in several files; ``in_flight``: the limits of what is under way."""
    keys = {name: _CONCURRENT if name in in_flight else _RATE for name in rates}
    return "limits:\n" + "".join(f"  {quoted(name)}: {{{keys[name]}: {text}}}\n" for name, text in rates.items())


def quoted(name: str) -> str:
    """A name as YAML keeps it: ``on`` and ``2026`` are no words to it as they are."""
    return name if name[0].isalpha() and yaml.safe_load(name) == name else f'"{name}"'


def _below(node: Node | None, key: str) -> Node | None:
    if isinstance(node, MappingNode):
        for name, value in node.value:
            if isinstance(name, ScalarNode) and name.value == key:
                found: Node = value
                return found
    return None


def _encloses(outer: Node, inner: Node) -> bool:
    return bool(outer.start_mark.index <= inner.start_mark.index and inner.end_mark.index <= outer.end_mark.index)


def _end(node: Node) -> int:
    """A block ends for YAML where the next thing begins; here where its last word does."""
    if isinstance(node, ScalarNode) or getattr(node, "flow_style", True):
        return int(node.end_mark.index)
    below = [one for pair in node.value for one in pair] if isinstance(node, MappingNode) else node.value
    return max((_end(one) for one in below), default=int(node.end_mark.index)) if _has(node) else node.end_mark.index


def _has(node: Node) -> bool:
    return isinstance(node, MappingNode | SequenceNode) and bool(node.value)


def plain_policy(tiers: Iterable[str], window: str) -> str:
    """Limits by address, user and tenant for callers of these tiers, in front of one app; to be filled in.

    What cannot be a tier's name in a policy is left out: its callers count as the unknown tier's.
    """
    usable = (tier for tier in tiers if tier not in _NO_TIERS and name_flaw(tier) is None)
    names = [*map(quoted, dict.fromkeys(usable)), "anonymous"]
    return f"""\
version: 1
identity: {{unknown_tier: {names[-2] if len(names) > 1 else names[0]}}}    # and the issuers that you trust
tiers: [{", ".join(names)}]
upstreams:
  app: {{primary: ["http://127.0.0.1:3000"]}}
limits:
  per-ip: {{scope: ip, rate: 600/{window}}}
  per-user: {{scope: user, rate: 600/{window}}}
  per-tenant: {{scope: tenant, rate: 6000/{window}}}
defaults: {{auth: optional, limits: [per-ip, per-user, per-tenant]}}
routes:
  - {{name: app, match: {{path: "/**"}}, upstream: app}}
"""
