"""From pictures to features: the pipeline of batches, and any stream of images through it."""
