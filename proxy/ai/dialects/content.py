"""Of what the model reads: does all of it stand in the body, or does some stand elsewhere (images, files, items)? Pure.

Only what a table knows to be text in the body is that. What is encrypted (thinking, its signatures) counts as text:
a ciphertext is not shorter than what it hides. A picture is not: few bytes may be many tokens.
"""

from typing import Any

from proxy.ai.dialects.table import Content

_SCALARS = (str, int, float, type(None))  # bool is an int
_SOUND = "input_audio"


def all_in_body(body: dict[str, Any], content: Content) -> bool:
    """Whether the body's bytes bound what the model reads of ``content.fields``."""
    stack: list[Any] = [body[name] for name in content.fields if name in body]
    plain, descend, refers = content.plain, content.descend, content.refers
    while stack:
        node = stack.pop()
        if isinstance(node, _SCALARS):
            continue
        if isinstance(node, list):
            stack.extend(node)
            continue
        if content.by_key:
            if not (node.keys() <= plain):
                return False
        else:
            kind = node.get("type")
            if kind is None:
                if "role" not in node:
                    return False
            elif not isinstance(kind, str) or kind not in plain or not _has_what_it_needs(node, kind, content):
                return False
        if any(node.get(name) is not None for name in refers):
            return False
        stack.extend(node[name] for name in descend if name in node)
    return True


def holds_sound(body: dict[str, Any], content: Content) -> bool:
    """Whether the model hears any of ``content.fields``: a part that says so, or refers to an answer's sound."""
    stack: list[Any] = [body.get(name) for name in content.fields]
    while stack:
        node = stack.pop()
        if isinstance(node, list):
            stack.extend(node)
        elif isinstance(node, dict):
            if node.get("type") == _SOUND or isinstance(node.get("audio"), dict):
                return True
            stack.extend(node.values())
    return False


def _has_what_it_needs(node: dict[str, Any], kind: str, content: Content) -> bool:
    needed = content.needs.get(kind)
    return needed is None or bool(node.get(needed))
