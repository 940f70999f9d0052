"""Where a policy's two Redis are, for whoever looks into them beside a gateway."""

from typing import Final

from proxy.core.storeurl import StoreUrl, parse_store_url
from proxy.policy.model import Policy
from proxy.store.embedded import running_url

_EMBEDDED: Final = "embedded"


class Unanswered(Exception):
    """What was asked cannot be told or done now. The message is for ops, one line without a secret."""


def meters_url(policy: Policy) -> StoreUrl:
    """Raises: Unanswered where the meters are a running gateway's own, and none runs."""
    url = running_url(policy.data_dir) if policy.redis.meters == _EMBEDDED else policy.redis.meters
    if url is None:
        raise Unanswered(f"the embedded Redis of {policy.data_dir} does not run: no gateway does")
    return parse_store_url(url)


def cache_url(policy: Policy) -> StoreUrl:
    """The cache's own, or the meters'. Raises: Unanswered, as ``meters_url``."""
    own = policy.caches.url
    return meters_url(policy) if own is None else parse_store_url(own)
