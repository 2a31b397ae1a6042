"""`seq2x demo`: dates of forty languages become ISO 8601, trained while you watch, then looked into."""

from seq2x.demo.acts import run

__all__ = ["run"]
