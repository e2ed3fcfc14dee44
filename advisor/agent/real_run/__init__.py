"""Agent of a real training, which applies settings and falls back if one fails."""
