"""What crosses a topic or the wire: frozen values and their codecs.

Nothing here performs I/O, reads a clock or imports another package of ours. A change of a
value that is already written somewhere needs a new schema version (see `codec`).
"""
