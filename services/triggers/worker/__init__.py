"""The Faust shell around the engine: no decision stands here.

`fold` turns records of one partition into what is to be written, without I/O; `lane` runs it
and writes, in the one allowed order; `worker` has a lane for each partition it owns; `main`
puts the process together. What Faust does for it stands in `services.runtime.batch`.
"""
