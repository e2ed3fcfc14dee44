"""Addresses of tensors, which tell one from others of its size."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def address_of(tensor: Tensor) -> int:
    """Return the address of a tensor's first number; 0 if it is sparse."""
    return 0 if tensor.is_sparse or tensor.is_sparse_csr else tensor.data_ptr()


def storage_of(tensor: Tensor) -> int:
    """Return the address of the memory that a tensor is a view of; 0 if it has none."""
    try:
        return tensor.untyped_storage().data_ptr()
    except (AttributeError, NotImplementedError, RuntimeError):  # sparse, or a class of the user's
        return 0
