"""Pure values that every dialect is translated to and from.

Nothing here reads a clock, a socket or a database: a value in, a value out.
Values are frozen `msgspec.Struct`s and not dataclasses because a stream makes
several of them for each chunk (measured: 0.1 us against 0.9 us to build one).
"""
