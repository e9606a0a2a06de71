"""Configuration files of clients, for `dragoman connect`."""
