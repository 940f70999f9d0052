"""Paths are found as they are written, and name the model."""

import pytest

from proxy.ai.dialects.table import Dialect, Endpoint, snake, words

DIALECT = Dialect(
    "d",
    "p",
    (Endpoint("POST", "/a"), Endpoint("GET", "/a"), Endpoint("POST", "/m/{model}:run"), Endpoint("GET", "/x/{id}/y")),
    prefixes=("/v1", "/v2"),
)


@pytest.mark.parametrize(
    ("path", "methods", "model"),
    [
        ("/v1/a", {"POST", "GET"}, ""),
        ("/v2/a", {"POST", "GET"}, ""),
        ("/v3/a", set(), ""),
        ("/v1/a/", set(), ""),
        ("/v1/m/gem-2.5:run", {"POST"}, "gem-2.5"),
        ("/v1/m/gem:walk", set(), ""),
        ("/v1/m/a/b:run", set(), ""),
        ("/v1/m/a%2Fb:run", set(), ""),
        ("/v1/x/1/y", {"GET"}, ""),
        ("/v1/x//y", set(), ""),
        ("/v1/x/1:run/y", set(), ""),
        ("/v1/x/1/y\n", set(), ""),
    ],
)
def test_a_path_is_found_or_not(path: str, methods: set[str], model: str) -> None:
    lines, found = DIALECT.find(path)
    assert (set(lines), found) == (methods, model)


def test_spellings() -> None:
    assert snake("maxOutputTokens") == "max_output_tokens"
    assert words("a b\n c") == {"a", "b", "c"}
