"""Results as pages: how tables give way on a terminal, and what they are in a file."""
