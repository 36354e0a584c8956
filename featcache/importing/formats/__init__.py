"""Files of arrays that others wrote, one format a file, and their list."""
