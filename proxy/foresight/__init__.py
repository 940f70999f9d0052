"""What a policy would do, told before it does it: tests of policies, logs replayed through them, their differences."""
