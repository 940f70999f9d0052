"""Sentry: what is told of faults and traced requests, how it is kept, and how it gets there."""
