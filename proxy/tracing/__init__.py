"""Which requests are traced, and when each of their phases began."""
