"""OpenTelemetry: what a collector gets of traced requests and metrics, how it waits, and how it gets there."""
