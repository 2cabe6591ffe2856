"""Fold a pretrained RGB network onto DCT coefficients, without training."""
