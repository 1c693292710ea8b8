"""Marketers' definitions: kept in PostgreSQL, published through an outbox to the log.

`service` holds the rules of editing and publishing, `store` and `outbox` are the ports,
`memory` and `postgres` stand behind them, `relay` carries what is published to Kafka.
"""
