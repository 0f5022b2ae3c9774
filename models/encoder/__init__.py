"""Text to vectors: the contract, its implementations, and how a model directory becomes an ONNX graph.

It must not import torch.
"""
