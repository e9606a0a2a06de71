"""Server-side state: stored responses and reasoning."""
