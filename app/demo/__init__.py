"""The demo: held-out months of the shipped data, streamed as live sessions to a running server."""
