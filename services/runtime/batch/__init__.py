"""Faust, a batch at a time: what replaces its path of one message at a time.

Faust keeps membership, assignment, offsets, tables, changelogs, standbys and recovery. Of
each poll this package hands on one message a partition, whose value is the list of records;
its offset moves only when the holder says `processed`. States are kept a partition at a
time, as bytes. docs/decisions/0002 tells why, `private_names` lists what of Faust and aiokafka
this leans on that they do not promise to keep.

- `fetch`: the consumer thread: raw records, positions, end offsets
- `consumer`: polls to batches, offsets, seeks
- `states`: the states of one partition; knows nothing of Kafka
- `tables`: the states as a Faust store, recovery in batches, standbys
- `writer`: many records to one partition in one request
- `app`: an app of these parts, built and run
"""
