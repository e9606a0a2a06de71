"""API keys: routes, limits, budgets and expiry of each."""
