"""All that needs torch, imported inside functions: `encoder/` is tuned, `sequence/` trained, the baseline `two_tower` judged.

What serves never imports it (import-linter, tests/test_imports.py).
"""
