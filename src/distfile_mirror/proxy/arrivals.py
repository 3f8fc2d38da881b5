"""Ends a listening socket without turning anybody away who has come already.

Closing it resets whoever waits to be accepted, and whose request may be on its way. So first it is
made deaf to new connections: a filter of the kernel's (socket(7), SO_ATTACH_FILTER) drops the
segment that begins one, as a busy network would. Who is in the middle of connecting gets in; who
is dropped tries again after a second (RFC 6298), and by then another socket of the same port
answers, or none.
"""

import ctypes
import socket
import struct
from contextlib import suppress

# How long a handshake that is under way may take: a few round trips.
HANDSHAKE_SECONDS = 0.5

_SO_ATTACH_FILTER = 26
_FLAGS_BYTE, _SYN, _SYN_AND_ACK = 13, 0x02, 0x12
_LOAD_BYTE, _AND, _JUMP_IF_EQUAL, _RETURN = 0x30, 0x54, 0x15, 0x06
_WHOLE = 0xFFFFFFFF
# Code, jump if true, jump if false, operand: of a TCP segment that begins a connection nothing is let through.
_PROGRAM = (
    (_LOAD_BYTE, 0, 0, _FLAGS_BYTE),
    (_AND, 0, 0, _SYN_AND_ACK),
    (_JUMP_IF_EQUAL, 0, 1, _SYN),
    (_RETURN, 0, 0, 0),
    (_RETURN, 0, 0, _WHOLE),
)


def let_no_more_in(listener: socket.socket) -> None:
    """Let ``listener`` take no new connections; those begun before can still be accepted.

    Where the system has no such filters nothing happens.
    """
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in _PROGRAM)
    buffer = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", len(_PROGRAM), ctypes.addressof(buffer))
    with suppress(OSError):
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
