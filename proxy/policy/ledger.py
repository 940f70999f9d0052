"""From the ledger as written to the compiled one: where each call to a provider is kept, and how long. Pure."""

from typing import Final

from proxy.policy import money, schema
from proxy.policy.findings import Findings
from proxy.policy.spending import Ledger

_FILE: Final = "ledger.db"  # in the data directory, where a policy does not say


def compile_ledger(config: schema.Config, data_dir: str, spends: bool, findings: Findings) -> Ledger | None:
    """None where none is asked for: no route leads to a provider, and the policy does not name one."""
    written = config.ledger
    if written is None:
        if not spends:
            return None
        written = money.Ledger()
    elif not spends:
        findings.warn(("ledger",), "no route leads to a provider: nothing new is written to it")
    sqlite = written.url is None or written.url.startswith("sqlite:")
    for key, value in (("read_url", written.read_url), ("project_into", written.project_into)):
        if value is not None and sqlite:
            findings.error(("ledger", key), "is for a ledger in PostgreSQL", ("ledger", "url"))
    if written.read_url is not None and written.read_url.startswith("sqlite:"):
        findings.error(("ledger", "read_url"), "must be a replica of the ledger: postgresql://…")
    return Ledger(
        url=written.url or f"sqlite:///{data_dir}/{_FILE}",
        read_url=written.read_url,
        keep_ms=written.keep,
        outbox=written.outbox,
        project_into=written.project_into,
    )
