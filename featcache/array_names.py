"""What arrays, columns and facts of a cache are called in files for other programs, and when they come back."""

EMBEDDINGS, LABELS, IDS, SPLITS = "embeddings", "labels", "ids", "splits"
CLASS_NAMES, TEXT, PROMPTS, SCALE = "class_names", "text", "prompts", "logit_scale"
MANIFEST = "featcache"
"""The cache's manifest, as JSON."""
