"""Where records go, and how long they stay."""

from collections.abc import Callable
from pathlib import Path

from proxy.policy.compiler import Loaded, compile_text
from proxy.policy.spending import Ledger

AI = (
    "version: 1\nupstreams: {ai: {primary: ['https://a'], dialect: openai}}\ndefaults: {auth: none}\n"
    "routes: [{name: ai, match: {}, upstream: ai}]\n"
)


def ledger(text: str, base: Path = Path("/srv/policy"), env: dict[str, str] | None = None) -> Ledger | None:
    return compile_text(AI + text, "config.yaml", env or {"HOME": "/home/a"}, base=base).policy.ledger


def test_a_policy_that_spends_has_a_ledger(loaded: Callable[..., Loaded]) -> None:
    """In the data directory, wherever that is; one that does not has none, unless it asks for it."""
    assert ledger("data_dir: /var/lib/x\n") == Ledger("sqlite:////var/lib/x/ledger.db")
    assert ledger("data_dir: data\n") == Ledger("sqlite:////srv/policy/data/ledger.db")
    assert ledger("") == Ledger("sqlite:////home/a/.local/state/sluicegate/ledger.db")
    assert loaded("").policy.ledger is None
    asked = loaded("data_dir: /x\nledger: {}\n")
    assert asked.policy.ledger == Ledger("sqlite:////x/ledger.db")
    assert [problem.path for problem in asked.warnings] == ["ledger"]


def test_what_is_said() -> None:
    found = ledger(
        "ledger: {url: 'postgresql://u:${PASSWORD}@db/ledger', read_url: 'postgresql://replica/ledger', keep: 400d,"
        " outbox: 5_000, project_into: public.ai_usage}\n",
        env={"PASSWORD": "hush"},
    )
    assert found == Ledger(
        url="postgresql://u:hush@db/ledger",
        read_url="postgresql://replica/ledger",
        keep_ms=400 * 86_400_000,
        outbox=5_000,
        project_into="public.ai_usage",
    )
    assert "hush" not in repr(found)


def test_addresses_may_be_missing_where_secrets_may() -> None:
    """A check in CI has neither."""
    text = AI + "ledger: {url: '${LEDGER_URL}', read_url: '${REPLICA_URL}'}\n"
    found = compile_text(text, "config.yaml", {}, allow_missing_secrets=True).policy.ledger
    assert found is not None
