"""AFSD: anchor-free points, refined by features pooled at their boundaries."""

from .afsd_head import AFSDHead

__all__ = ['AFSDHead']
