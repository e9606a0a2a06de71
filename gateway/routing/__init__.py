"""Which target gets a call: pure functions over an immutable registry."""
