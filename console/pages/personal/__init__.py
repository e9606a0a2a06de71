"""The pages of a person's personal keys, spend and requests."""
