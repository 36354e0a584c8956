"""Folders and URLs, home, lock, writing a file whole, the Hugging Face hub."""
