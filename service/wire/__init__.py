"""Formats of requests and answers: pure functions and data, no device."""
