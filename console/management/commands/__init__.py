"""Django's commands, one module each."""
