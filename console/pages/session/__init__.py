"""Sign in, sign out and change a password."""
