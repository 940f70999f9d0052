"""`sluicegate cache`: what the cache of the running gateway has done, and what is stored for a request."""

import argparse
import json
from http.client import HTTPConnection, HTTPException
from typing import Any, Final

from proxy.admin import cachequestion
from proxy.admin.cachelook import explain
from proxy.admin.cachequestion import Question
from proxy.admin.stores import Unanswered
from proxy.cli.books import answer, policy_of, wrong_call
from proxy.cli.cachelines import explained, table
from proxy.core.clock import SystemClock
from proxy.policy.model import Policy

ANSWER_S: Final = 10.0

_WORDS: Final = ("url", "method", "tenant", "user", "issuer", "tier", "headers")
_LOOPBACK: Final = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - a listener on all is here, too


def main(args: argparse.Namespace) -> int:
    question = None
    if args.verb == "explain":
        given = {name: getattr(args, name) for name in _WORDS}
        try:
            question = cachequestion.read({name: value for name, value in given.items() if value is not None})
        except ValueError as error:
            return wrong_call(error)
    policy = policy_of(args)
    if policy is None:
        return 1
    return answer(_stats(args, policy) if question is None else _explain(args, policy, question))


async def _stats(args: argparse.Namespace, policy: Policy) -> int:
    told = asked_of_gateway(policy, "/cache")
    print(json.dumps(told, indent=2) if args.json else table(told))
    return 0


async def _explain(args: argparse.Namespace, policy: Policy, question: Question) -> int:
    told = await explain(policy, question, SystemClock())
    print(json.dumps(told, indent=2) if args.json else explained(told))
    return 0


def asked_of_gateway(policy: Policy, path: str) -> Any:
    """What the admin listener of the gateway that runs by this policy answers. Raises: Unanswered."""
    admin = policy.admin
    if admin is None or not admin.address.port:
        raise Unanswered("the policy has no admin.address with a port: there is no gateway to ask")
    connection = HTTPConnection(
        _LOOPBACK.get(admin.address.host, admin.address.host), admin.address.port, timeout=ANSWER_S
    )
    try:
        connection.request("GET", path, headers={"Authorization": f"Bearer {admin.token}"} if admin.token else {})
        reply = connection.getresponse()
        body = json.loads(reply.read())
    except (OSError, HTTPException, ValueError) as error:
        raise Unanswered(f"no gateway answers at {admin.address} (admin.address): {type(error).__name__}") from error
    finally:
        connection.close()
    if reply.status != 200:
        raise Unanswered(f"the gateway at {admin.address} answered {reply.status}: {body.get('error', 'nothing more')}")
    return body
