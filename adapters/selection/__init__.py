"""What may choose hyper-parameters, and how: regimes, held-out rows, refits, exact alpha, calibration."""
