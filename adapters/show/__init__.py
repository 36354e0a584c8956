"""What pictures and bars share."""
