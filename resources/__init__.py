"""Data that the program ships: icons, model cards, weights, the demo study. No code."""
