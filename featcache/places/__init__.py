"""Folders and URLs, home, lock, writing a file whole."""
