"""One protocol a file: what a head is fitted on, what it is tested on, and how the numbers are told."""
