"""The ledger: one SQL row per upstream attempt, moved from the outbox, read by reports. Never near a request."""
