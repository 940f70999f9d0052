"""One message to several is several deliveries; one delivery is the same however often it is tried."""

from dataclasses import replace

from proxy.core.delivery import Delivery

DELIVERY = Delivery("alert-1", "mail", "ann@acme.example", "{}", 1, 1_000)


def test_each_channel_and_each_recipient_is_a_delivery_of_its_own() -> None:
    others = [replace(DELIVERY, channel="ops"), replace(DELIVERY, recipient="bob@acme.example")]
    assert len({one.key for one in [DELIVERY, *others]}) == 3


def test_another_attempt_is_the_same_delivery() -> None:
    assert replace(DELIVERY, attempts=2).key == DELIVERY.key
