"""Model cards, and what a checkpoint needs besides its weights to live on the Hub."""
