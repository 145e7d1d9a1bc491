"""The terminal of a person: what is typed, and how notices look.

`console` owns the screen; `keys` says what keys do, `completion` what Tab makes of a line, and
`history` what was typed before. What is written comes from `layout` in the colours of `palette`,
`toolbar` says what stands below the prompt, and `alerts` when to ring.
"""
