"""What the rooms of the use cases share: callers, audit, expiry, idempotency, tokens, limits and seat events."""
