"""What is fuzzed, each in a module with a function ``one_input``."""

TARGETS = (
    "framing",
    "broker",
    "link",
    "fetching",
    "serving",
    "stranger",
    "client",
    "lines",
    "arguments",
    "credentials",
    "state",
)
