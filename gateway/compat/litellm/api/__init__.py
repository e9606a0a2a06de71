"""LiteLLM's management and listing endpoints."""
