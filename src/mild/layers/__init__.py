"""The result before composition: a stack of layers, put together anew, read and written as layered files."""

from mild.layers.stack import Layer, LayerStack, alpha_over, rounded

__all__ = ["Layer", "LayerStack", "alpha_over", "rounded"]
