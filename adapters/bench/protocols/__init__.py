"""One protocol a file: what a head is fitted on and tested on, and how that is told; and their list."""
