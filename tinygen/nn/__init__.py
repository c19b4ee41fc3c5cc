"""Floor 5. Networks: modules with named parameters, the layers, and their initialisation."""

from tinygen.nn import init
from tinygen.nn.layers import ELU, Flatten, LeakyReLU, Linear, ReLU, Sequential, Sigmoid, Softplus, Tanh
from tinygen.nn.module import Buffer, Module, ModuleList, Parameter, frozen

__all__ = [
    "ELU", "Buffer", "Flatten", "LeakyReLU", "Linear", "Module", "ModuleList", "Parameter", "ReLU", "Sequential",
    "Sigmoid", "Softplus", "Tanh", "frozen", "init",
]  # fmt: skip
