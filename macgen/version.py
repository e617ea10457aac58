"""The version of macgen, which reports and manifests carry."""

__version__ = "0.2.0"
