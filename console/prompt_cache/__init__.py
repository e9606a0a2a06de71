"""The prompt-cache guard: where a session's prefix changed, and what that cost."""
