"""SS-Text: class text moved by sums of shots, and of images without labels."""
