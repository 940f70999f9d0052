"""A batched request weighs what it holds, and cannot hide what it holds."""

import gzip

import pytest

from proxy.core.errors import GatewayError
from proxy.gateway.batch import MAX_CALLS, MAX_NODES, graphql_calls, trpc_calls

JSON = "application/json"
SIX = b"[" + b",".join([b'{"query": "{a}"}'] * 6)


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        ("/trpc/user.get", 1),
        ("/trpc/user.get,post.list", 2),
        ("/trpc/a,b,c", 3),
        ("/trpc/a%2Cb%2cc", 3),
        ("/trpc/a,a,a,a,a,a,x/y", 7),
        ("/trpc,x/a", 2),
    ],
)
def test_trpc_calls(path: str, calls: int) -> None:
    """Every comma of the path counts, encoded or not, whatever the query says: the server may read it so."""
    assert trpc_calls(path) == calls


def test_a_trpc_batch_beyond_the_bound_is_refused() -> None:
    """Not counted as the bound: that would make the rest free."""
    assert trpc_calls("/t/" + "a," * (MAX_CALLS - 1)) == MAX_CALLS
    with pytest.raises(GatewayError, match="a batch holds 1 to 250"):
        trpc_calls("/t/" + "a," * MAX_CALLS)


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        (b'{"query": "{a}"}', 1),
        (SIX + b"]", 6),
        (b" \r\n\t" + SIX + b"]", 6),
        (b"", 1),
        (b"query=%7Ba%7D", 1),
        (b'"["', 1),
    ],
)
def test_graphql_calls(body: bytes, calls: int) -> None:
    assert graphql_calls(body, JSON, "") == calls


@pytest.mark.parametrize(
    ("body", "content_type", "coding"),
    [
        (SIX + rb',{"v":"\ud800"}]', JSON, ""),
        (SIX + b',{"v":1e999}]', JSON, ""),
        (SIX + b',{"v":' + b"[" * 2000 + b"]" * 2000 + b"}]", JSON, ""),
        (SIX, JSON, ""),
        (SIX + b"]x", JSON, ""),
        (b"\xef\xbb\xbf" + SIX + b"]", JSON, ""),
        ((SIX + b"]").decode().encode("utf-16-le"), JSON, ""),
        ((SIX + b"]").decode().encode("utf-16"), JSON, ""),
        ((SIX + b"]").decode().encode("utf-32-be"), JSON, ""),
        (SIX + b"]", "application/json; charset=utf-16le", ""),
        (SIX + b"]", 'application/json; Charset = "UTF-7"', ""),
        (gzip.compress(SIX + b"]", mtime=0), JSON, "gzip"),
        (SIX + b"]", JSON, "identity, br"),
        (b'--x\r\nContent-Disposition: form-data; name="operations"\r\n\r\n[]', "Multipart/form-data; boundary=x", ""),
        (b"[]", JSON, ""),
        (b"[" + b"{}," * MAX_CALLS + b"{}]", JSON, ""),
        (b"[" + b"{}," * MAX_NODES + b"{}]", JSON, ""),
    ],
    ids=["surrogate", "1e999", "deep", "open", "trailing", "bom", "utf16le", "utf16", "utf32", "charset", "quoted",
         "gzip", "codings", "multipart", "empty", "too many", "flood"],
)  # fmt: skip
def test_what_could_hide_a_batch_is_refused(body: bytes, content_type: str, coding: str) -> None:
    """Some server reads each of these as more than one operation."""
    with pytest.raises(GatewayError) as refused:
        graphql_calls(body, content_type, coding)
    assert refused.value.status == 400


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", 'application/json;charset="UTF8"', ""])
def test_plain_utf8_is_taken(content_type: str) -> None:
    assert graphql_calls(SIX + b"]", content_type, "identity") == 6
