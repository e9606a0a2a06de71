"""A person's own security: one-time codes, recovery codes, passkeys."""
