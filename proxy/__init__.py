"""Sluicegate: a rate-limiting and caching reverse proxy. See docs/architecture.md for the house."""

__version__ = "0.1.0"
