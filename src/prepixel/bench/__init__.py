"""Measure how fast a machine reads images, on coefficients and on RGB baselines."""
