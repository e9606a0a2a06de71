"""Stored prompts: values, variables, and how they are inserted into a request body."""
