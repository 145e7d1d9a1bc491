"""What all tests share: random ones take the same way each time, so that a failure stays."""

from hypothesis import Phase, settings

# Without shrinking, which may take minutes: to look into a failure, turn it on here.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)
settings.register_profile("same-every-time", derandomize=True, deadline=None, phases=PHASES)
settings.load_profile("same-every-time")
