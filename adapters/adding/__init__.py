"""Classes that are added to a saved head: their prompts, their images, the new run."""
