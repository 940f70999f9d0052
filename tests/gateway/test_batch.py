"""A batched request weighs what it holds."""

import pytest

from proxy.core.errors import GatewayError
from proxy.gateway.batch import MAX_CALLS, graphql_calls, trpc_calls


@pytest.mark.parametrize(
    ("path", "query", "calls"),
    [
        ("/trpc/user.get", "", 1),
        ("/trpc/user.get,post.list", "batch=1&input=x", 2),
        ("/trpc/a,b,c", "input=x&batch=1", 3),
        ("/trpc/a%2Cb%2cc", "batch=1", 3),
        ("/trpc/a,b,c", "", 1),
        ("/trpc/a,b,c", "batch=0", 1),
        ("/x,y/a", "batch=1", 1),
    ],
)
def test_trpc_calls(path: str, query: str, calls: int) -> None:
    """Commas count in the last segment alone, and only in a batch link's request."""
    assert trpc_calls(path, query) == calls


def test_trpc_calls_are_bounded() -> None:
    assert trpc_calls("/t/" + "," * 5000, "batch=1") == MAX_CALLS


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        (b'{"query": "{a}"}', 1),
        (b'[{"query": "{a}"}, {"query": "{b}"}]', 2),
        (b' \n[{"query": "{a}"}]', 1),
        (b"", 1),
        (b"[not json", 1),
    ],
)
def test_graphql_calls(body: bytes, calls: int) -> None:
    assert graphql_calls(body) == calls


@pytest.mark.parametrize("body", [b"[]", b"[" + b"1," * MAX_CALLS + b"1]"])
def test_graphql_batches_out_of_bounds_are_refused(body: bytes) -> None:
    with pytest.raises(GatewayError, match="a batch holds 1 to 1000"):
        graphql_calls(body)
