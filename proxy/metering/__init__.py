"""Meters: what a request takes from which, decided in Redis by scripts and here by their pure twin."""
