"""Alerts: who is told when a budget runs low, once for each level. Near no request."""
