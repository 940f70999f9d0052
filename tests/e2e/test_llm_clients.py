"""The providers' own Python clients through the gateway: plain, streamed, and a 429 that they obey.

Each client gets the gateway's URL and a gateway key as its api_key: that is all of a migration. The upstream's
``headers`` bring the provider's key; the gateway's never goes on.
"""

import time
from collections.abc import Iterator
from hashlib import sha256
from types import SimpleNamespace

import anthropic
import openai
import pytest

from tests.e2e.dialects import Providers
from tests.e2e.gateway import Gateway, running
from tests.e2e.origin import Origin, running_origin
from tests.e2e.policies import policy

KEY = "sg_the-key-of-the-app's-own-server"
PROVIDER_KEY = "sk-the-provider's-key"
USAGE = {
    "openai": {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5},
    "anthropic": {"input_tokens": 3, "output_tokens": 2},
}


def upstreams(port: int) -> str:
    return f"""
  openai: {{primary: ["http://127.0.0.1:{port}"], headers: {{Authorization: "Bearer {PROVIDER_KEY}"}}}}
  anthropic: {{primary: ["http://127.0.0.1:{port}"], headers: {{x-api-key: "{PROVIDER_KEY}"}}}}
"""


ROUTES = """
limits:
  many: {scope: user, rate: 1000/1m}
  openai-brief: {scope: user, rate: 1/1s}
  anthropic-brief: {scope: user, rate: 1/1s}
routes:
  - {name: openai-brief, match: {path: "/brief/openai/**"}, upstream: openai, rewrite: {strip: /brief/openai},
     limits: [openai-brief]}
  - {name: anthropic-brief, match: {path: "/brief/anthropic/**"}, upstream: anthropic,
     rewrite: {strip: /brief/anthropic}, limits: [anthropic-brief]}
  - {name: openai, match: {path: "/openai/**"}, upstream: openai, rewrite: {strip: /openai}, limits: [many]}
  - {name: anthropic, match: {path: "/anthropic/**"}, upstream: anthropic, rewrite: {strip: /anthropic},
     limits: [many]}
"""


@pytest.fixture(scope="module")
def setup() -> Iterator[SimpleNamespace]:
    with running_origin() as origin:
        Providers(USAGE).attach(origin)
        digest = sha256(KEY.encode()).hexdigest()
        identity = f'keys: {{app-server: {{sha256: "{digest}", tenant: acme, user: server}}}}'
        with running(policy(origin.port, ROUTES, identity=identity, upstreams=upstreams(origin.port))) as gateway:
            yield SimpleNamespace(origin=origin, gateway=gateway)


@pytest.fixture
def gateway(setup: SimpleNamespace) -> Gateway:
    return setup.gateway


@pytest.fixture
def origin(setup: SimpleNamespace) -> Origin:
    setup.origin.seen.clear()
    return setup.origin


@pytest.fixture
def openai_client(gateway: Gateway) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/openai/v1", timeout=10) as client:
        yield client


@pytest.fixture
def anthropic_client(gateway: Gateway) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(api_key=KEY, base_url=f"{gateway.url}/anthropic", timeout=10) as client:
        yield client


QUESTION = [{"role": "user", "content": "Hi"}]


def only_the_providers_key_arrived(origin: Origin) -> bool:
    heads = [seen.head for seen in origin.seen]
    return all(PROVIDER_KEY.encode() in head and KEY.encode() not in head for head in heads) and bool(heads)


def test_openai_plain(openai_client: openai.OpenAI, origin: Origin) -> None:
    answer = openai_client.chat.completions.create(model="gpt-x", messages=QUESTION)
    assert answer.choices[0].message.content == "Hello there"
    assert answer.usage.total_tokens == 5
    assert only_the_providers_key_arrived(origin)
    assert origin.last().all("Authorization") == [f"Bearer {PROVIDER_KEY}"]


def test_openai_streamed(openai_client: openai.OpenAI, origin: Origin) -> None:
    with openai_client.chat.completions.create(model="gpt-x", messages=QUESTION, stream=True) as stream:
        words = [event.choices[0].delta.content for event in stream]
    assert words == ["Hello", " there"]
    assert only_the_providers_key_arrived(origin)


def test_openai_obeys_a_429(gateway: Gateway, origin: Origin) -> None:
    """The second call within a second is refused, waits as long as it is told, and succeeds."""
    with openai.OpenAI(api_key=KEY, base_url=f"{gateway.url}/brief/openai/v1", timeout=10) as client:
        started = time.monotonic()
        for _ in range(2):
            answer = client.chat.completions.create(model="gpt-x", messages=QUESTION)
            assert answer.choices[0].message.content == "Hello there"
        assert 0.9 < time.monotonic() - started < 4
    assert [seen.get("x-stainless-retry-count") for seen in origin.seen] == ["0", "1"]
    assert gateway.metric(r'sluicegate_limit_decisions_total{decision="refused",limit="openai-brief"') == 1


def test_anthropic_plain(anthropic_client: anthropic.Anthropic, origin: Origin) -> None:
    answer = anthropic_client.messages.create(model="claude-x", max_tokens=64, messages=QUESTION)
    assert answer.content[0].text == "Hello there"
    assert answer.usage.output_tokens == 2
    assert only_the_providers_key_arrived(origin)
    assert origin.last().all("x-api-key") == [PROVIDER_KEY]


def test_anthropic_streamed(anthropic_client: anthropic.Anthropic, origin: Origin) -> None:
    with anthropic_client.messages.stream(model="claude-x", max_tokens=64, messages=QUESTION) as stream:
        assert list(stream.text_stream) == ["Hello", " there"]
        assert stream.get_final_message().stop_reason == "end_turn"
    assert only_the_providers_key_arrived(origin)


def test_anthropic_obeys_a_429(gateway: Gateway, origin: Origin) -> None:
    with anthropic.Anthropic(api_key=KEY, base_url=f"{gateway.url}/brief/anthropic", timeout=10) as client:
        started = time.monotonic()
        for _ in range(2):
            answer = client.messages.create(model="claude-x", max_tokens=64, messages=QUESTION)
            assert answer.content[0].text == "Hello there"
        assert 0.9 < time.monotonic() - started < 4
    assert [seen.get("x-stainless-retry-count") for seen in origin.seen] == ["0", "1"]
    assert gateway.metric(r'sluicegate_limit_decisions_total{decision="refused",limit="anthropic-brief"') == 1


def test_a_wrong_key_is_the_clients_own_authentication_error(gateway: Gateway, origin: Origin) -> None:
    """401 is not retried, and the origin never hears of it."""
    with (
        openai.OpenAI(api_key="sg_wrong", base_url=f"{gateway.url}/openai/v1", timeout=10) as client,
        pytest.raises(openai.AuthenticationError),
    ):
        client.chat.completions.create(model="gpt-x", messages=QUESTION)
    assert origin.seen == []
