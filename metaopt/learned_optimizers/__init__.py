"""Learned optimizers; one module each, one interface for all."""
