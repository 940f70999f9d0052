"""The path that routes are matched against, from a request's raw path; what can be read in two ways is refused.

What is authorised must be what is forwarded (conformance 49). The raw path goes upstream byte for byte, so here it is
read as upstreams do, and whatever they disagree about is answered 400: dot segments, also encoded; backslashes; control
characters; percent-encodings that are broken, overlong or hide one of these a second time; and, unless the policy says
``keep``, ``//`` and ``%2F``. Pure.

What comes out differs from the raw path only so (RFC 3986 §6.2.2): unreserved characters are decoded, hexadecimal
digits are capitals, and ``;parameters`` are left out of each segment, since some upstreams strip them before they look
(``/admin;x`` is ``/admin`` to them) and no rule may be evaded by adding one. With ``keep``, ``//`` is matched as ``/``,
and ``%2F`` stays as it is within its segment.
"""

import re
from typing import Final

from proxy.core.errors import GatewayError, Reason
from proxy.policy.model import Ambiguous
from proxy.policy.patterns import normal_escape

# Nothing to decode, no parameter, no empty segment, no segment that begins with a dot.
_PLAIN: Final = re.compile(r"(?:/(?:[!$&'()*+,=:@A-Z_a-z~0-9-][!$&'()*+,=:@A-Z_a-z~0-9.-]*|\Z))+")
_REFUSED: Final = re.compile(
    r"(?P<char>[^!-~]|[\\#])"
    r"|(?P<broken>%(?![0-9A-Fa-f]{2}))"
    r"|(?P<hidden>%(?:[01][0-9A-Fa-f]|7[Ff]|5[Cc]))"
    r"|(?P<double>%25(?:25)*(?:2[EeFf]|5[Cc]|[01][0-9A-Fa-f]|7[Ff]))"
    # UTF-8's overlong forms: a decoder that lets them pass reads a slash or a dot there (RFC 3629 §10).
    r"|(?P<overlong>%[Cc][01]|%[Ee]0%[89][0-9A-Fa-f]|%[Ff]0%8[0-9A-Fa-f])"
)
_WHY: Final = {
    "char": "The path holds a character that must be percent-encoded",
    "broken": "A percent sign in the path is not followed by two hexadecimal digits",
    "hidden": "The path holds an encoded backslash or control character",
    "double": "The path is percent-encoded twice",
    "overlong": "The path holds an overlong UTF-8 sequence",
}
_ESCAPE: Final = re.compile(r"%([0-9A-Fa-f]{2})")
_PARAMETERS: Final = re.compile(r";[^/]*")
_FROM_PARAMETERS: Final = re.compile(r"(?:;|%3B).*")  # a server that decodes first reads ..%3Bx as .. too
_SLASHES: Final = re.compile(r"//+")


def matched_path(raw: str, double_slash: Ambiguous, encoded_slash: Ambiguous) -> str:
    """The path to match, from the raw one without its query. Raises: GatewayError (bad_target)."""
    if _PLAIN.fullmatch(raw):
        return raw
    return _normal(raw, double_slash, encoded_slash)


def _refusal(detail: str) -> GatewayError:
    return GatewayError(Reason.BAD_TARGET, detail)


def _normal(raw: str, double_slash: Ambiguous, encoded_slash: Ambiguous) -> str:
    if not raw.startswith("/"):
        raise _refusal("The path must begin with a slash")
    refused = _REFUSED.search(raw)
    if refused is not None:
        raise _refusal(_WHY[str(refused.lastgroup)])
    path = _ESCAPE.sub(normal_escape, raw)
    if "%2F" in path and encoded_slash is Ambiguous.REFUSE:
        raise _refusal("The path holds an encoded slash")
    for segment in path.replace("%2F", "/").split("/"):
        if segment.startswith(".") and _FROM_PARAMETERS.sub("", segment) in (".", ".."):
            raise _refusal("The path holds a dot segment")
    path = _PARAMETERS.sub("", path)
    if "//" in path:
        if double_slash is Ambiguous.REFUSE:
            raise _refusal("The path holds an empty segment")
        path = _SLASHES.sub("/", path)
    return path


def rewritten_target(target: str, strip: str, prefix: str) -> str:
    """The target to forward (path and query): ``strip`` off, ``prefix`` before, every other byte as it came.

    ``strip`` must stand there as it is written, up to a segment's end: a path that only matches once it is decoded
    cannot be cut without being read anew. Raises: GatewayError (bad_target).
    """
    if strip:
        rest = target[len(strip) :]
        if not target.startswith(strip) or rest[:1] not in ("", "/", "?"):
            raise _refusal("The part of the path that is taken off must not be encoded")
        target = rest if rest.startswith("/") else "/" + rest
    return prefix + target
