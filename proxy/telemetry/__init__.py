"""What the gateway tells of itself: counts, log lines."""
