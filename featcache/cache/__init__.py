"""The cache on disk: layout, manifest, plan of shards, writing, reading, text sets; and finding caches."""
