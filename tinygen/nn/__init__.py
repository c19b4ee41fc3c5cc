"""Floor 5. Networks: modules with named parameters, the layers, and their initialisation."""

from tinygen.nn import init
from tinygen.nn.activations import (
    ELU,
    Identity,
    LeakyReLU,
    LogSoftmax,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from tinygen.nn.containers import ModuleList, Sequential
from tinygen.nn.convolution import Conv1d, Conv2d, ConvTranspose1d, ConvTranspose2d
from tinygen.nn.dropout import Dropout
from tinygen.nn.linear import Embedding, Linear
from tinygen.nn.masked import CausalConv1d, MaskedConv2d, MaskedLinear, autoregressive_mask
from tinygen.nn.module import Buffer, Constant, Module, Parameter, evaluating, frozen
from tinygen.nn.normalisation import BatchNorm1d, BatchNorm2d, InstanceNorm2d, LayerNorm
from tinygen.nn.recurrent import LSTM, RNN
from tinygen.nn.resampling import AvgPool1d, AvgPool2d, Flatten, MaxPool1d, MaxPool2d, Unflatten, Upsample
from tinygen.nn.spectral import spectral_norm
from tinygen.nn.summary import summary

__all__ = [
    "ELU", "LSTM", "RNN", "AvgPool1d", "AvgPool2d", "BatchNorm1d", "BatchNorm2d", "Buffer", "CausalConv1d", "Constant",
    "Conv1d", "Conv2d", "ConvTranspose1d", "ConvTranspose2d", "Dropout", "Embedding", "Flatten", "Identity",
    "InstanceNorm2d", "LayerNorm", "LeakyReLU", "Linear", "LogSoftmax", "MaskedConv2d", "MaskedLinear", "MaxPool1d",
    "MaxPool2d", "Module", "ModuleList", "Parameter", "ReLU", "Sequential", "SiLU", "Sigmoid", "Softmax", "Softplus",
    "Tanh", "Unflatten", "Upsample", "autoregressive_mask", "evaluating", "frozen", "init", "spectral_norm", "summary",
]  # fmt: skip
