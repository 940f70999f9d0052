"""A policy and ends of channels for tests of processes."""

from proxy.policy.compiler import compile_text
from proxy.policy.model import Policy

TEXT = """
version: 1
listen: {address: "127.0.0.1:0", drain: 1s}
upstreams: {app: {primary: ["http://127.0.0.1:1"]}}
redis: {meters: "unix:///nowhere/redis.sock", timeout: 50ms}
routes: [{name: app, match: {path: "/**"}, upstream: app, auth: none, limits: []}]
"""


def policy_of(text: str = TEXT) -> Policy:
    return compile_text(text, "config.yaml", {}).policy


POLICY = policy_of()
OTHER = policy_of(TEXT.replace("name: app, match", "name: other, match"))
