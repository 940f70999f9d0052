"""Where the features meet: a request's way through the gateway, its workers, and the parent that keeps them."""
