"""Cross-attention of prompts and views, trained to agree: the head, and its forward pass with the loss."""
