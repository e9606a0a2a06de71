"""Django's SQLite backend, whose errors do not block other threads later."""
