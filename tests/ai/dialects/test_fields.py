"""What a provider is sent is listed; all else stops here."""

from openai import OpenAI

from proxy.ai.dialects.fields import PREFIXES, sent
from proxy.ai.dialects.registry import DIALECTS


def goes(dialect: str, name: str, *, own_credential: bool = False) -> bool:
    field = name.lower().encode()
    return field in sent(dialect, own_credential=own_credential) or field.startswith(PREFIXES)


def test_every_dialect_knows_where_its_key_stands() -> None:
    for dialect in DIALECTS:
        assert goes(dialect, "Authorization", own_credential=True)
        assert not goes(dialect, "Authorization")
    for dialect, name in (("azure", "api-key"), ("anthropic", "x-api-key"), ("gemini", "x-goog-api-key")):
        assert goes(dialect, name, own_credential=True)
        assert not goes(dialect, name)
        assert not goes("openai", name, own_credential=True)


def test_a_mask_of_the_answer_is_not_listed() -> None:
    assert not goes("gemini", "X-Goog-FieldMask", own_credential=True)
    assert goes("gemini", "X-Goog-Api-Client")


def test_what_a_real_client_says_of_itself_goes_on() -> None:
    client = OpenAI(api_key="k", base_url="http://127.0.0.1:9", organization="o", project="p")
    stays = {name for name in client.default_headers if not goes("openai", name, own_credential=True)}
    assert stays == set()
