"""The C struct; nothing of it is visible from Python."""
