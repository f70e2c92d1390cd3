"""Nonsense in: whatever it is, it is refused with a message or dealt with, in bounded memory."""
