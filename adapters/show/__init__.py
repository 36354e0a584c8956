"""What pictures, progress bars and written numbers have in common."""
