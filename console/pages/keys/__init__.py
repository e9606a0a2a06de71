"""API keys: who may call, which routes, for how much and until when."""
