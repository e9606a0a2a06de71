"""The pages of a person's own keys, spend and requests."""
