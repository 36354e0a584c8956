"""Sets that have a name: from their own files to a listing."""
