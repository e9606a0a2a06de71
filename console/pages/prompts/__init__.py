"""Stored prompts: list, editor with preview, versions, code."""
