"""What the pages about usage and health show, made of roll-ups, registry and process."""
