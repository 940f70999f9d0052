"""How somebody is told: one file a kind of channel."""
