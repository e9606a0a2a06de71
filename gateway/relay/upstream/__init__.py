"""The HTTP client of upstreams: connections, answers, credentials, media downloads."""
