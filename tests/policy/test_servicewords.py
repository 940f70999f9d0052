"""How alerts about the service are written."""

import pytest
from pydantic import TypeAdapter

from proxy.policy.servicewords import Service, ServiceOrOff

READ = TypeAdapter(ServiceOrOff)


@pytest.mark.parametrize("off", [False, "off", "false", None])
def test_off_is_nothing(off: object) -> None:
    assert READ.validate_python(off) is None


@pytest.mark.parametrize("on", [True, "on", "true", {}])
def test_on_is_every_default(on: object) -> None:
    """Those are the service levels that Prometheus' rules have."""
    service = READ.validate_python(on)
    assert service == Service()
    assert service is not None
    assert service.error_rate is not None
    assert float(service.error_rate.warning or 0) == 0.01
    assert service.latency is not None
    assert service.latency.warning == 500
    assert service.availability is not None
    assert float(service.availability.objective) == 0.999


def test_each_part_can_be_left_off() -> None:
    parts = [name for name in Service.model_fields if name not in ("to", "repeat")]
    service = READ.validate_python(dict.fromkeys(parts, "off"))
    assert service is not None
    assert [getattr(service, name) for name in parts] == [None] * len(parts)


def test_so_can_one_of_two_levels() -> None:
    service = READ.validate_python({"error_rate": {"warning": "off"}, "redis": {"for": "2m"}})
    assert service is not None
    assert service.error_rate is not None
    assert service.error_rate.warning is None
    assert service.redis is not None
    assert service.redis.lasts == 120_000
