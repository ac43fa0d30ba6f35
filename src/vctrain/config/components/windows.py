"""How may kernels be tapered?"""

from __future__ import annotations

from typing import Literal

Window = Literal["none", "hann", "hamming", "kaiser", "blackman", "nuttall", "bartlett", "cosine"]
