"""Where lists of images come from, one source a file: folders, a table, published splits, a library."""
