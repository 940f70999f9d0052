"""Talks HTTP/1.1 to upstreams: heads, connections, pools, and the one call the gateway makes: ``Upstreams.send``."""
