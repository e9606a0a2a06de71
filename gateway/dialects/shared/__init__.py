"""Code that two or more dialects share."""
