"""Prepared weights and tokenizers under `Settings.models_dir`."""
