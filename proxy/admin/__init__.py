"""The listeners for machines and ops: read-only (metrics, health) and admin."""
