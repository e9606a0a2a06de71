"""Teams: keys that share a budget; and the limits of routes and providers."""
