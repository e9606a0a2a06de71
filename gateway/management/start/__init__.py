"""The steps of `manage.py up`: prepare what is missing, print a summary, serve."""
