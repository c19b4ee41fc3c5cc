"""Floor 7. One file a lecture system: its networks, its objective, its training step."""
