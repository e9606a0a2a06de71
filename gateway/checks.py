"""System checks of the gateway."""
