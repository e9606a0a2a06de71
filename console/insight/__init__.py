"""Data of the usage and health pages, from roll-ups, registry and process."""
