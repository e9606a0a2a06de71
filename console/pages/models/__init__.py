"""Models: capabilities and prices of each, with their sources and overrides."""
