"""The arguments of the commands about the cache, and nothing that they need: that is imported when one is called."""

from proxy.cli.moneyarguments import Commands, called
from proxy.cli.policyarguments import add_config


def add_parsers(commands: Commands) -> None:
    _add_purge(commands)
    _add_cache(commands)


def _add_purge(commands: Commands) -> None:
    purge = commands.add_parser(
        "purge",
        help="take stored answers out of the cache, in every worker of every gateway",
        description="Takes stored answers out of the cache. Every worker of every gateway on this Redis obeys within a "
        "second; what was fetched before is never served again, also by one that was cut off meanwhile.",
    )
    add_config(purge)
    what = purge.add_mutually_exclusive_group(required=True)
    what.add_argument("--url", help="one URL with its query, in all its variants; or its path, on every host")
    what.add_argument("--prefix", metavar="PATH", help="a path and all below it, by whole segments; or a URL of it")
    what.add_argument("--tag", action="append", dest="tags", help="of Cache-Tag or Surrogate-Key; may be repeated")
    what.add_argument("--tenant", help="all answers of this tenant")
    what.add_argument("--all", action="store_true", help="everything")
    whose = purge.add_mutually_exclusive_group()
    whose.add_argument("--within", metavar="TENANT", help="only this tenant's answers")
    whose.add_argument("--public", action="store_true", help="only public answers")
    purge.add_argument("--host", help="of a path: only on this host")
    purge.add_argument("--json", action="store_true")
    purge.set_defaults(call=called("purge"))


def _add_cache(commands: Commands) -> None:
    cache = commands.add_parser("cache", help="what the cache has done, and what it has for a request")
    verbs = cache.add_subparsers(dest="verb", required=True, metavar="VERB")
    stats = verbs.add_parser("stats", help="by route: hits, misses, what is stored and what is not, and why")
    explain = verbs.add_parser("explain", help="what is stored for a request, what it would get, and why")
    explain.add_argument("url", metavar="URL", help="whole, as a client asks: https://app.example.com/reports?page=2")
    explain.add_argument("--tenant", help="of whoever asks")
    explain.add_argument("--user", help="likewise")
    explain.add_argument("--issuer", help="of the user's token; the policy's first")
    explain.add_argument("--tier", help="of whoever asks; for who may bypass")
    explain.add_argument("--method", help="GET if left out")
    explain.add_argument("-H", "--header", action="append", dest="headers", metavar="'NAME: VALUE'")
    for parser in (stats, explain):
        add_config(parser)
        parser.add_argument("--json", action="store_true")
        parser.set_defaults(call=called("cache"))
