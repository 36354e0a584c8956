"""What to label next: which images, in which order, and how that is told."""
