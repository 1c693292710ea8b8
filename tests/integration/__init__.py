"""The suite against a real Apache Kafka and a real PostgreSQL (`make integration`)."""
