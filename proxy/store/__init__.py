"""Redis, as the rest of the program sees it: scripts run whole, on the one node that owns the meters, or StoreAway."""
