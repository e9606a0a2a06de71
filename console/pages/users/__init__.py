"""The Users page."""
