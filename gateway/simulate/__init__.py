"""Requests without an upstream: dry run of a route, translation, and provider probes."""
