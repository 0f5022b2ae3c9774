"""An event's way as a trace: read, applied, ranked, published, committed, exported by OpenTelemetry.

It must not be needed: without `otlp_endpoint` nothing here is imported but `traces`, and nothing is paid.
"""
