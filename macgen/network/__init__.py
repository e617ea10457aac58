"""Accumulation lengths of networks: from shapes, from the papers, from ONNX files; and measured sparsity and ranges."""

from macgen.network.gemm import Gemm, Kind, Layer, Network, conv_layer, linear_layer, matmul_layer
from macgen.network.measure import measure
from macgen.network.measurement import Measurement, OperandStatistics
from macgen.network.onnx_model import from_onnx
from macgen.network.operand_format import OperandFormat
from macgen.network.operand_statistics import Engine
from macgen.network.papers import NETWORKS, paper_network
from macgen.network.samples import load_samples

__all__ = [
    "NETWORKS",
    "Engine",
    "Gemm",
    "Kind",
    "Layer",
    "Measurement",
    "Network",
    "OperandFormat",
    "OperandStatistics",
    "conv_layer",
    "from_onnx",
    "linear_layer",
    "load_samples",
    "matmul_layer",
    "measure",
    "paper_network",
]
