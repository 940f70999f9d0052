"""Mail goes out encrypted, one message a recipient, and says by its Message-ID that it has come before."""

import ssl
from collections.abc import Callable
from dataclasses import replace

import pytest

from proxy.alerts.answers import Answer, Verdict
from proxy.alerts.channels.mail import Mail
from proxy.alerts.incident import News
from tests.alerts.channels.samples import A_DELIVERY, FAILING, a_delivery, of_service
from tests.alerts.receivers import MailServer, mail_server
from tests.upstream.test_connect import Certificates, certificates  # noqa: F401 - a fixture

TO = "jane@acme.example"
FROM = "Sluicegate <gate@example.com>"


def trusting(certificates: Certificates) -> ssl.SSLContext:  # noqa: F811
    return ssl.create_default_context(cafile=certificates.ca_file)


def mail(server: MailServer, tls: ssl.SSLContext, scheme: str = "smtp", user: str = "", password: str = "") -> Mail:
    return Mail("mail", f"{scheme}://{server.host}:{server.port}", FROM, user, password, tls)


async def test_a_message_says_what_happened(tls: ssl.SSLContext) -> None:
    async with mail_server() as server:
        for _ in range(2):
            assert (await mail(server, tls).send(a_delivery(TO))).verdict is Verdict.DELIVERED
        assert (await mail(server, tls).send(a_delivery("joe@acme.example"))).verdict is Verdict.DELIVERED
    (sender, recipients, first), (_, _, again), (_, _, other) = server.mail
    assert (sender, recipients) == ("gate@example.com", [TO])
    assert (first["From"], first["To"], first["Auto-Submitted"]) == (FROM, TO, "auto-generated")
    assert first["Subject"].startswith("[warning] Budget tenant of tenant acme for 2026-11-18 is 80% used")
    body = first.get_content().replace("\r\n", "\n")
    assert "spent: 160.00\nof: 200.00\n" in body
    assert A_DELIVERY.id in body
    assert first["Message-ID"] == again["Message-ID"] != other["Message-ID"]
    assert first["Message-ID"].startswith(f"<{A_DELIVERY.id}.")
    assert first["Message-ID"].endswith("@example.com>")


async def test_tls_from_the_first_byte(certificates: Certificates) -> None:  # noqa: F811
    async with mail_server(tls=certificates.server("127.0.0.1"), immediate=True, password="let me in") as server:
        channel = mail(server, trusting(certificates), "smtps", "gate", "let me in")
        assert (await channel.send(a_delivery(TO))).verdict is Verdict.DELIVERED
    assert server.secured == [True]


async def test_a_certificate_of_nobodys_gets_no_mail(certificates: Certificates, tls: ssl.SSLContext) -> None:  # noqa: F811
    async with mail_server(tls=certificates.server("127.0.0.1"), immediate=True) as server:
        assert (await mail(server, tls, "smtps").send(a_delivery(TO))).verdict is Verdict.LATER
    assert server.mail == []


async def test_starttls_or_nothing(certificates: Certificates) -> None:  # noqa: F811
    """A server elsewhere that cannot encrypt, or no longer says that it can, gets neither mail nor password."""
    trusted, elsewhere = trusting(certificates), "127.0.0.2"  # an address like any other, as far as the channel knows
    encrypts = mail_server(tls=certificates.server(elsewhere), password="let me in", host=elsewhere)
    async with encrypts as able, mail_server(host=elsewhere) as plain:
        sent = await mail(able, trusted, user="gate", password="let me in").send(a_delivery(TO))
        assert sent.verdict is Verdict.DELIVERED
        assert (await mail(plain, trusted).send(a_delivery(TO))).verdict is Verdict.LATER
    assert (able.secured, plain.mail) == ([True], [])


@pytest.mark.parametrize(("change", "answer"), [
    (lambda server: setattr(server, "answer", "451 busy, jane"), Answer(Verdict.LATER, "SMTP 451")),
    (lambda server: setattr(server, "answer", "554 no, jane"), Answer(Verdict.NEVER, "SMTP 554")),
    (lambda server: setattr(server, "recipient", "450 later, jane"), Answer(Verdict.LATER, "SMTP 450")),
    (lambda server: setattr(server, "recipient", "550 who is jane"), Answer(Verdict.NEVER, "SMTP 550")),
])  # fmt: skip
async def test_what_a_server_says_decides(
    change: Callable[[MailServer], None], answer: Answer, tls: ssl.SSLContext
) -> None:
    """And what it says is not repeated: it may hold anything."""
    async with mail_server() as server:
        change(server)
        assert await mail(server, tls).send(a_delivery(TO)) == answer


async def test_a_wrong_password_is_ours_and_no_alerts(certificates: Certificates) -> None:  # noqa: F811
    """Ops mend it, and the alert still comes."""
    async with mail_server(tls=certificates.server("127.0.0.1"), immediate=True, password="right") as server:
        channel = mail(server, trusting(certificates), "smtps", "gate", "wrong")
        assert await channel.send(a_delivery(TO)) == Answer(Verdict.LATER, "SMTP 535")


async def test_a_server_that_is_down_is_asked_again(tls: ssl.SSLContext) -> None:
    async with mail_server() as server:
        pass
    answer = await mail(server, tls).send(a_delivery(TO))
    assert answer == Answer(Verdict.LATER, "SMTPConnectError")


async def test_nothing_of_an_alert_becomes_a_field(tls: ssl.SSLContext) -> None:
    """The subject is one line, whatever it says; who is no address gets nothing."""
    async with mail_server() as server:
        channel = mail(server, tls)
        await channel.send(a_delivery(TO, message="one " + "long " * 200))
        assert (await channel.send(a_delivery(TO, message="a\r\nBcc: evil@example.com"))).verdict is Verdict.NEVER
        assert (await channel.send(a_delivery("no address"))).verdict is Verdict.NEVER
    ((_, recipients, content),) = server.mail
    assert len(content["Subject"]) <= 150
    assert (recipients, content["Bcc"]) == ([TO], None)


@pytest.mark.parametrize(("url", "sender"), [
    ("http://mail.example.com", FROM), ("mail.example.com", FROM), ("smtp://", FROM),
    ("smtp://mail.example.com", ""), ("smtp://mail.example.com", "gate@example.com\r\nBcc: x@y"),
])  # fmt: skip
def test_what_cannot_be_a_mail_server_is_refused(url: str, sender: str, tls: ssl.SSLContext) -> None:
    with pytest.raises(ValueError, match=r"^the channel 'mail' needs"):
        Mail("mail", url, sender, "", "", tls)


async def test_mail_about_the_service_has_its_figures_in_words_and_stands_together(tls: ssl.SSLContext) -> None:
    """The beginning and the end are one thread, and two messages."""
    async with mail_server() as server:
        for alert in (FAILING, replace(FAILING, news=News.RESOLVED)):
            assert (await mail(server, tls).send(of_service(alert, TO))).verdict is Verdict.DELIVERED
    (_, _, first), (_, _, end) = server.mail
    assert (first["Subject"], end["Subject"][:10]) == (f"[critical] {FAILING.message}", "[resolved]")
    body = first.get_content().replace("\r\n", "\n")
    assert "gateway: gate-1:8080\nsince: 2026-11-18T11:59:45Z\n" in body
    assert "spent" not in body
    assert first["References"] == end["References"] == f"<{FAILING.incident}@example.com>"
    assert first["Message-ID"] != end["Message-ID"]
