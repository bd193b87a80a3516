"""Pictures of a result as the bytes of one file, in a tenth of the room of their numbers."""

from __future__ import annotations

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor


def packed(images: Tensor) -> Tensor:
    """Pictures (rows, cols, 3, H, W) in [-1, 1] as the bytes of one WebP sheet, (bytes,)."""
    rows, cols, _, height, width = images.shape
    levels = ((images.cpu().float().clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
    sheet = levels.permute(0, 3, 1, 4, 2).reshape(rows * height, cols * width, 3)
    buffer = io.BytesIO()
    Image.fromarray(sheet.numpy()).save(buffer, "WEBP", quality=92, method=6)
    return torch.from_numpy(np.frombuffer(buffer.getvalue(), np.uint8).copy())


def unpacked(data: Tensor, rows: int, cols: int) -> Tensor:
    """The pictures (rows, cols, 3, H, W) of a sheet, almost as they were."""
    with Image.open(io.BytesIO(data.numpy().tobytes())) as image:
        sheet = torch.from_numpy(np.asarray(image.convert("RGB")).copy())
    parts = sheet.reshape(rows, len(sheet) // rows, cols, -1, 3).permute(0, 2, 4, 1, 3)
    return parts.float() / 127.5 - 1
