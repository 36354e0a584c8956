"""Tables of a bench as text: one format a file, and their list."""
