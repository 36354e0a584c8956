"""The proof from the store, and encoding a sample again."""
