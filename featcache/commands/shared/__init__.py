"""What several commands of `featcache` share: options, notices, words, and how results are shown."""
