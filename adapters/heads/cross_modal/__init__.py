"""The cross-modal linear probe: the head, its pool of images and prompts, and many as one program."""
