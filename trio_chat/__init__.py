"""trio-chat: an instant messenger that people host themselves and run in a terminal."""

__version__ = "0.1.0"
