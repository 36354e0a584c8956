"""New images through a saved head: any stream of them, found by path, written as they come."""
