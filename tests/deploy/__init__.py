"""What stands in deploy/: images, compose, Kubernetes, Prometheus, Grafana."""
