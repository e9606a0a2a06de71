"""LiteLLM: its configuration files and its management API."""
