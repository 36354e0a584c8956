"""From bytes to a picture to batches of pixels."""
