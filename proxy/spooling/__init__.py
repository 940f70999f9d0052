"""What waits on disk for somebody outside."""
