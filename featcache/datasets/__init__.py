"""From a name to ids, labels, splits and a reader."""
