"""Hand-designed optimizers at their best: what a learned optimizer has to beat."""
