"""The only package that may import torch and transformers, inside functions: references for exports, fine-tuning.

A serving worker never imports it (import-linter, tests/test_imports.py).
"""
