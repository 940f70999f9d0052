"""Small policies to start from."""

from collections.abc import Callable
from typing import Any

import pytest

from proxy.policy.compiler import Loaded, compile_text
from proxy.policy.document import Document, Surroundings, read_document
from proxy.policy.model import Policy

HEAD = 'version: 1\nupstreams: {app: {primary: ["http://127.0.0.1:3000"]}}\n'
ROUTE = 'routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none}]\n'


@pytest.fixture
def loaded(tmp_path) -> Callable[..., Loaded]:
    """Compiles a text that needs not say the upstream, nor, unless it wants to, the routes."""

    def compiled(text: str = "", env: dict[str, str] | None = None, **options: Any) -> Loaded:
        whole = HEAD + text + ("" if "\nroutes:" in f"\n{text}" else ROUTE)
        return compile_text(whole, "config.yaml", env or {}, base=tmp_path, **options)

    return compiled


@pytest.fixture
def policy(loaded) -> Callable[..., Policy]:
    return lambda text="", env=None, **options: loaded(text, env, **options).policy


@pytest.fixture
def read(tmp_path) -> Callable[..., Document]:
    """Reads a text as a document, with an environment; files are looked for in ``tmp_path``."""

    def document(text: str, env: dict[str, str] | None = None, **options: Any) -> Document:
        around = Surroundings(env or {}, tmp_path, lambda path: path.read_text("utf-8"), **options)
        return read_document(text, "config.yaml", around)

    return document
