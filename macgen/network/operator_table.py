"""Which operators have multiply-accumulates: ONNX's own, onnxruntime's and QONNX's.

An operator has multiply-accumulates if it sums products of two tensors that are given, learned or computed before:
matrix products, convolutions, attention, recurrences, Fourier transforms. Norms, poolings and interpolations count as
having none: they sum values of one tensor, their squares, or few of them with weights of their position.

Sources: onnx 1.23 (operator set 28), the schemas registered in onnxruntime 1.32, and qonnx 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from macgen.network.onnx_file import STANDARD_DOMAINS

if TYPE_CHECKING:
    from onnx import NodeProto

Kind = Literal["counted", "uncounted", "none", "unknown"]
"""`counted`: its multiply-accumulates become layers; `uncounted`: it has some, which no rule counts; `none`: it has
none; `unknown`: nothing is known of it, so that it may have some."""

ONNX_OPSETS = {"": 28, "ai.onnx.ml": 5, "ai.onnx.preview": 1, "ai.onnx.preview.training": 1}
"""Up to which version each of ONNX's operator sets is listed here."""

QONNX_DOMAINS = ("onnx.brevitas", "qonnx.custom_op.general", "finn.custom_op.general")
CHANNELS_LAST_DOMAINS = ("qonnx.custom_op.channels_last", "finn.custom_op.channels_last", "channels_last")

COUNTED = frozenset(
    {
        # ONNX
        "Attention", "CausalConvWithState", "Conv", "ConvInteger", "ConvTranspose", "DeformConv", "Einsum", "GRU",
        "Gemm", "LSTM", "MatMul", "MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN",
        "ai.onnx.preview::FlexAttention",
        # onnxruntime
        "com.microsoft::Attention", "com.microsoft::DynamicQuantizeMatMul", "com.microsoft::FusedConv",
        "com.microsoft::FusedGemm", "com.microsoft::FusedMatMul", "com.microsoft::FusedMatMulActivation",
        "com.microsoft::GemmFastGelu", "com.microsoft::GemmFloat8", "com.microsoft::GroupQueryAttention",
        "com.microsoft::MatMulBlockQuantizedFp8Weight", "com.microsoft::MatMulBnb4", "com.microsoft::MatMulInteger16",
        "com.microsoft::MatMulIntegerToFloat", "com.microsoft::MatMulNBits", "com.microsoft::MultiHeadAttention",
        "com.microsoft::NhwcConv", "com.microsoft::NhwcFusedConv", "com.microsoft::QAttention", "com.microsoft::QGemm",
        "com.microsoft::QLinearConv", "com.microsoft::TransposeMatMul",
        # QONNX
        "channels_last::Conv", "qonnx::XnorPopcountMatMul",
    }
)  # fmt: skip
"""Operators whose multiply-accumulates become layers."""

UNCOUNTED = frozenset(
    {
        # ONNX
        "AffineGrid", "DFT", "Det", "LinearAttention", "STFT",
        "ai.onnx.ml::LinearClassifier", "ai.onnx.ml::LinearRegressor", "ai.onnx.ml::SVMClassifier",
        "ai.onnx.ml::SVMRegressor", "ai.onnx.preview.training::Gradient",
        # onnxruntime
        "GRUUnit", "DisentangledAttention_TRT",
        "com.microsoft::AttnLSTM", "com.microsoft::CDist", "com.microsoft::CausalConvWithState",
        "com.microsoft::ConvTransposeWithDynamicPads", "com.microsoft::DecoderAttention",
        "com.microsoft::DecoderMaskedMultiHeadAttention", "com.microsoft::DecoderMaskedSelfAttention",
        "com.microsoft::DynamicQuantizeLSTM", "com.microsoft::DynamicSparseAttention", "com.microsoft::GatedDeltaNet",
        "com.microsoft::GatedDeltaNetStateReplay", "com.microsoft::GatedRelativePositionBias",
        "com.microsoft::HyperConnectionLowRankMix", "com.microsoft::Inverse", "com.microsoft::Irfft",
        "com.microsoft::LinearAttention", "com.microsoft::LongformerAttention", "com.microsoft::Mamba2Verify",
        "com.microsoft::MatMulBlockQuantizedFp4Weight", "com.microsoft::MatMulFpQ4", "com.microsoft::MatMulNBitsMlp",
        "com.microsoft::MatMulNBitsQLoRA", "com.microsoft::MatMulNBitsQkv", "com.microsoft::MatMulPacked",
        "com.microsoft::MoE", "com.microsoft::MoEPacked", "com.microsoft::PackedAttention",
        "com.microsoft::PackedMultiHeadAttention", "com.microsoft::PackedSparseAttentionIndexer",
        "com.microsoft::PagedAttention", "com.microsoft::QMoE", "com.microsoft::QOrderedAttention",
        "com.microsoft::QOrderedLongformerAttention", "com.microsoft::QOrderedMatMul", "com.microsoft::Rfft",
        "com.microsoft::RouterGateUpProj", "com.microsoft::SparseAttention", "com.microsoft::SparseAttentionIndexer",
        "com.microsoft::SparsePagedAttention", "com.microsoft::SparseToDenseMatMul",
        "com.microsoft::VarlenCausalConvWithState", "com.microsoft::WordConvEmbedding",
        "com.microsoft.nchwc::Conv", "com.ms.internal.nhwc::Conv", "com.ms.internal.nhwc::ConvTranspose",
        "com.ms.internal.nhwc::QLinearConv", "com.ms.internal.nhwc::QLinearConvTranspose",
    }
)  # fmt: skip
"""Operators with multiply-accumulates that no rule counts."""

WITHOUT = frozenset(
    {
        # ONNX
        "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh", "AveragePool",
        "BatchNormalization", "Bernoulli", "BitCast", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
        "BitwiseXor", "BlackmanWindow", "Cast", "CastLike", "Ceil", "Celu", "CenterCropPad", "Clip", "Col2Im",
        "Compress", "Concat", "ConcatFromSequence", "Constant", "ConstantOfShape", "Cos", "Cosh", "CumProd", "CumSum",
        "DepthToSpace", "DequantizeLinear", "Div", "Dropout", "DynamicQuantizeLinear", "Elu", "Equal", "Erf", "Exp",
        "Expand", "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "GlobalAveragePool",
        "GlobalLpPool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GridSample", "GroupNormalization",
        "HammingWindow", "HannWindow", "HardSigmoid", "HardSwish", "Hardmax", "Identity", "If", "ImageDecoder",
        "InstanceNormalization", "IsInf", "IsNaN", "LRN", "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual",
        "Log", "LogSoftmax", "Loop", "LpNormalization", "LpPool", "Max", "MaxPool", "MaxRoiPool", "MaxUnpool", "Mean",
        "MeanVarianceNormalization", "MelWeightMatrix", "Min", "Mish", "Mod", "Mul", "Multinomial", "Neg",
        "NegativeLogLikelihoodLoss", "NonMaxSuppression", "NonZero", "Not", "OneHot", "Optional",
        "OptionalGetElement", "OptionalHasElement", "Or", "PRelu", "Pad", "Pow", "QuantizeLinear", "RMSNormalization",
        "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range", "Reciprocal", "ReduceL1",
        "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin", "ReduceProd",
        "ReduceSum", "ReduceSumSquare", "RegexFullMatch", "Relu", "Reshape", "Resize", "ReverseSequence", "RoiAlign",
        "RotaryEmbedding", "Round", "Scan", "Scatter", "ScatterElements", "ScatterND", "Selu", "SequenceAt",
        "SequenceConstruct", "SequenceEmpty", "SequenceErase", "SequenceInsert", "SequenceLength", "SequenceMap",
        "Shape", "Shrink", "Sigmoid", "Sign", "Sin", "Sinh", "Size", "Slice", "Softmax", "SoftmaxCrossEntropyLoss",
        "Softplus", "Softsign", "SpaceToDepth", "Split", "SplitToSequence", "Sqrt", "Squeeze", "StringConcat",
        "StringNormalizer", "StringSplit", "Sub", "Sum", "SwiGLU", "Swish", "Tan", "Tanh", "TensorScatter",
        "TfIdfVectorizer", "ThresholdedRelu", "Tile", "TopK", "Transpose", "Trilu", "Unique", "Unsqueeze", "Upsample",
        "Where", "Xor",
        *(
            f"ai.onnx.ml::{name}"
            for name in (
                "ArrayFeatureExtractor", "Binarizer", "CastMap", "CategoryMapper", "DictVectorizer",
                "FeatureVectorizer", "Imputer", "LabelEncoder", "Normalizer", "OneHotEncoder", "Scaler", "TreeEnsemble",
                "TreeEnsembleClassifier", "TreeEnsembleRegressor", "ZipMap",
            )
        ),
        *(f"ai.onnx.preview.training::{name}" for name in ("Adagrad", "Adam", "Momentum")),
        # onnxruntime; SimplifiedLayerNormalization and others are registered in ONNX's own domain
        "Affine", "Crop", "DynamicSlice", "EfficientNMS_TRT", "GivenTensorFill", "ImageScaler", "MemcpyFromHost",
        "MemcpyToHost", "MultilevelCropAndResize_TRT", "ParametricSoftplus", "PyramidROIAlign_TRT", "Scale",
        "ScaledTanh", "SimplifiedLayerNormalization",
        *(
            f"com.microsoft::{name}"
            for name in (
                "BeamSearch", "BiasAdd", "BiasDropout", "BiasGelu", "BiasSoftmax", "BiasSplitGelu",
                "BifurcationDetector", "BitmaskBiasDropout", "BitmaskDropout", "BranchwiseRMSNorm", "ComplexMul",
                "ComplexMulConj", "CropAndResize", "DequantizeBFP", "DequantizeLinear", "DequantizeWithOrder",
                "DynamicTimeWarping", "EmbedLayerNormalization", "ExpandDims", "FastGelu", "GatedAdd", "GatedRMSNorm",
                "GatherBlockQuantized", "GatherND", "GatherPacked", "Gelu", "GemmaRotaryEmbedding", "GreedySearch",
                "GridSample", "GroupNorm", "IsAllFinite", "MRotaryEmbedding", "MaxpoolWithMask", "MulInteger",
                "MurmurHash3", "NGramHashMapping", "NGramRepeatBlock", "NhwcMaxPool", "Pad",
                "QEmbedLayerNormalization", "QLinearAdd", "QLinearAveragePool", "QLinearConcat",
                "QLinearGlobalAveragePool", "QLinearLeakyRelu", "QLinearMul", "QLinearReduceMean", "QLinearSigmoid",
                "QLinearSoftmax", "QLinearWhere", "QOrderedGelu", "QOrderedLayerNormalization", "QuantizeBFP",
                "QuantizeLinear", "QuantizeWithOrder", "QuickGelu", "RMSNormRotary", "Range", "ReduceSumInteger",
                "RelativePositionBias", "RemovePadding", "RestorePadding", "RotaryEmbedding", "Sampling", "ScaledSiLU",
                "SkipGroupNorm", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization", "SwiGLU", "Tokenizer",
                "TorchEmbedding", "Trilu", "UnfoldTensor", "Unique", "VarlenNGramHashMapping", "WhisperBeamSearch",
            )
        ),
        # QONNX
        *(
            f"qonnx::{name}"
            for name in (
                "BipolarQuant", "DebugMarker", "FloatQuant", "Im2Col", "MaxPoolNHWC", "MultiThreshold", "Quant",
                "QuantAvgPool2d", "Trunc",
            )
        ),
        "channels_last::BatchNormalization", "channels_last::MaxPool",
    }
)  # fmt: skip
"""Operators without multiply-accumulates."""


def operator_key(node: NodeProto) -> str:
    """Return by which name the tables of operators know a node's.

    Parameters:
        node: any node.

    Returns:
        The bare name in ONNX's own domain, else `domain::name`; QONNX's domains are `qonnx` and `channels_last`, and
        its IntQuant is Quant.
    """
    if node.domain in STANDARD_DOMAINS:
        return node.op_type
    if node.domain in QONNX_DOMAINS:
        return f"qonnx::{'Quant' if node.op_type == 'IntQuant' else node.op_type}"
    if node.domain in CHANNELS_LAST_DOMAINS:
        return f"channels_last::{node.op_type}"
    return f"{node.domain}::{node.op_type}"


def kind_of(key: str) -> Kind:
    """Return what is known of an operator's multiply-accumulates; `key` is as `operator_key` returns it."""
    if key in COUNTED:
        return "counted"
    if key in UNCOUNTED:
        return "uncounted"
    return "none" if key in WITHOUT else "unknown"
