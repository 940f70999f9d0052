"""What was used, as the provider says it: in a whole body, in events, in a JSON array; bytes pass through."""
