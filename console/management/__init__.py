"""Commands that build files of the console."""
