"""What all tests share: random ones take the same way each time, so that a failure stays."""

from hypothesis import settings

settings.register_profile("same-every-time", derandomize=True, deadline=None)
settings.load_profile("same-every-time")
