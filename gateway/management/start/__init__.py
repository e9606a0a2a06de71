"""What `manage.py up` does: make what is missing, say what is there, serve."""
