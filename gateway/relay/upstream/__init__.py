"""The HTTP client for upstreams: connections, responses, credentials, media downloads."""
