"""`dl`: train, evaluate, sample and attack everything in five deep-learning courses."""

__version__ = "0.1.0"
