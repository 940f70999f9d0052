"""E-mail: one message a recipient, so that nobody reads who else was told, and one that bounces repeats no other.

``smtps://`` is TLS from the first byte, ``smtp://`` becomes it by STARTTLS (RFC 3207) or sends nothing; only to this
very machine mail goes in the clear. A repetition has the Message-ID of the first.
"""

import hashlib
import ssl
from datetime import datetime
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_POLICY
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import urlsplit

import aiosmtplib
import orjson

from proxy.alerts.answers import DELIVERED, Answer, later, never
from proxy.alerts.dispatcher import ATTEMPT_S
from proxy.core.delivery import Delivery

PORTS: Final = {"smtps": 465, "smtp": 587}  # RFC 8314 §7.3, RFC 6409 §3.1
_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_SUBJECT: Final = 150  # letters
_DETAILS: Final = (
    ("spent", "current"), ("of", "limit"), ("budget", "budget"), ("scope", "scope"), ("period", "period"),
    ("resets at", "resets_at"), ("expected at", "expected_at"), ("tenant", "tenant"), ("user", "user"),
    ("route", "route"), ("upstream", "upstream"), ("gateway", "gateway"), ("since", "since"), ("at", "at"),
    ("what to do", "runbook"), ("alert", "id"),
)  # fmt: skip
_OF_MONEY: Final = frozenset({"current", "limit"})  # of anything else the message says it with its unit


class Mail:
    def __init__(self, name: str, url: str, sender: str, user: str, password: str, tls: ssl.SSLContext) -> None:
        """Raises: ValueError for a URL or sender that cannot be one; the message holds neither."""
        self.name = name
        parts = urlsplit(url)
        if parts.scheme not in PORTS or not parts.hostname:
            raise ValueError(f"the channel {name!r} needs smtps://host:465 or smtp://host:587")
        if "@" not in sender or not sender.isprintable():
            raise ValueError(f"the channel {name!r} needs the address that its mail comes from")
        self._sender = sender
        self._domain = sender.rpartition("@")[2].rstrip(">")
        self._server: dict[str, Any] = {
            "hostname": parts.hostname,
            "port": parts.port or PORTS[parts.scheme],
            "username": user or None,
            "password": password or None,
            "use_tls": parts.scheme == "smtps",
            "start_tls": parts.scheme == "smtp" and parts.hostname not in _HERE,
            "tls_context": tls,
            "local_hostname": self._domain,  # else the library asks DNS, and waits for it
            "timeout": ATTEMPT_S,
        }

    async def send(self, delivery: Delivery) -> Answer:
        try:
            content = message(delivery.payload, delivery.id, self._sender, delivery.recipient, self._domain)
        except (ValueError, MessageError) as error:
            return never(type(error).__name__)  # no address that mail can go to
        try:
            await aiosmtplib.send(content, **self._server)
        except aiosmtplib.SMTPAuthenticationError as error:
            return later(f"SMTP {error.code}")  # our password's fault, and no alert's
        except aiosmtplib.SMTPRecipientsRefused as error:
            return _judged(error.recipients[0].code)
        except aiosmtplib.SMTPResponseException as error:
            return _judged(error.code)
        except (aiosmtplib.SMTPException, OSError) as error:
            return later(type(error).__name__)
        return DELIVERED


def message(payload: str, alert_id: str, sender: str, recipient: str, domain: str) -> EmailMessage:
    alert = orjson.loads(payload)
    content = EmailMessage(policy=SMTP_POLICY)
    content["From"] = sender
    content["To"] = Address(addr_spec=recipient)
    content["Subject"] = f"[{alert['level']}] {alert['message']}"[:_SUBJECT]
    content["Date"] = format_datetime(datetime.fromisoformat(alert["at"]))
    content["Message-ID"] = f"<{alert_id}.{hashlib.sha256(recipient.encode()).hexdigest()[:12]}@{domain}>"
    if "incident" in alert:  # its beginning, its reminders and its end stand together
        content["References"] = f"<{alert['incident']}@{domain}>"
    content["Auto-Submitted"] = "auto-generated"  # RFC 3834 §5: no holiday notices back
    left_out = _OF_MONEY if "unit" in alert else frozenset()
    details = "\n".join(f"{title}: {alert[key]}" for title, key in _DETAILS if alert.get(key) and key not in left_out)
    content.set_content(f"{alert['message']}\n\n{details}\n")
    return content


def _judged(code: int) -> Answer:
    """4yz may pass, 5yz will not (RFC 5321 §4.2.1)."""
    return never(f"SMTP {code}") if code >= 500 else later(f"SMTP {code}")
