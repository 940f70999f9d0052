"""RFC 9111 for one tenant at a time: pure decisions, worker memory, the level in Redis, purges, coalescing."""
