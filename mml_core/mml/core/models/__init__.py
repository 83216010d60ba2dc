"""Networks, their Lightning wrapper, losses and metrics."""
