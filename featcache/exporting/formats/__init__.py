"""What a cache can be exported to, one format a file, and their list."""
