"""Prompt cache analysis: where the prefix of a session changed, and the extra cost."""
