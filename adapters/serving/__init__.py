"""A saved head behind HTTP: requests in batches, limits with their status codes, and a page to drop pictures on."""
