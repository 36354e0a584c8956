"""What several commands of `adapters` share: options, caches by name, and what to type next."""
