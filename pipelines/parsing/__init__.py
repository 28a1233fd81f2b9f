"""Parsers of hostile files, one module per format; only the sandbox's child process runs them on uploads."""
