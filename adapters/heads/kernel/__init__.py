"""Kernel regression of what zero-shot leaves unexplained: ProKeR and the Gaussian process."""
