"""Where lists of images come from, one source a file, and the list of those for people's own data."""
