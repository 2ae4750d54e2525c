"""minires: a deep learning engine, from scratch, that shows why residual networks train."""

__version__ = "0.1.0"
