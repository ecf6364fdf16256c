"""Feature map inversion: which filters caused an error, what they see, and what changed in the world."""
