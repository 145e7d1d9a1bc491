"""Key updates of TLS 1.3 (RFC 8446, section 4.6.3), which `ssl` can't send.

They are records that bring the other end nothing. Python has no name for OpenSSL's function, so
it is called in the library that `ssl` has loaded, with the pointer that CPython's object holds.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl

_library = ctypes.CDLL(_ssl.__file__)
_library.SSL_key_update.argtypes = [ctypes.c_void_p, ctypes.c_int]
_library.SSL_do_handshake.argtypes = [ctypes.c_void_p]

_NOT_REQUESTED = 0
_POINTER_OFFSET = 24
"""Of the field ``SSL *ssl`` in CPython's ``PySSLSocket``, behind the head of the object and one
pointer."""


def send_key_updates(end: ssl.SSLObject | ssl.SSLSocket, count: int) -> None:
    """Have an end of a connection, after its handshake, write so many key updates."""
    inner = end._sslobj  # type: ignore[union-attr]  # there is no other way to it
    pointer = ctypes.c_void_p.from_address(id(inner) + _POINTER_OFFSET)
    for _ in range(count):
        assert _library.SSL_key_update(pointer, _NOT_REQUESTED) == 1
        assert _library.SSL_do_handshake(pointer) == 1
