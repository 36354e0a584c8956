"""One fit, from task to scored and saved head."""
