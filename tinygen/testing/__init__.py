"""Floor 8. Property tests of one's own derivations: Hypothesis strategies and checkers that show what is wrong."""
