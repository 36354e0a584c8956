"""A cache as a file or folder of other programs: its rows in blocks, and writing it whole."""
