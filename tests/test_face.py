"""What may be imported from vctrain, and at which cost?"""

from __future__ import annotations

import subprocess
import sys

import pytest

import vctrain


class TestFace:
    """The names that may be imported from vctrain."""

    def test_importing_vctrain_brings_no_torch(self) -> None:
        script = (
            "import sys, vctrain\n"
            "assert 'save_session' in dir(vctrain) and '__version__' in dir(vctrain)\n"
            "assert 'torch' not in sys.modules and 'numpy' not in sys.modules\n"
            "from vctrain import save_session\n"
            "assert 'torch' in sys.modules and save_session is vctrain.save_session\n"
            "from vctrain import *\n"
            "simulate\n"
        )
        subprocess.run([sys.executable, "-c", script], check=True)

    def test_everything_promised_is_there(self) -> None:
        from vctrain import api

        assert {name for name in vctrain.__all__ if name != "__version__"} == set(api.__all__)
        for name in vctrain.__all__:
            assert getattr(vctrain, name) is not None

    def test_other_names_are_not(self) -> None:
        with pytest.raises(AttributeError, match="no attribute 'save_sesion'"):
            vctrain.save_sesion  # type: ignore[attr-defined] # noqa: B018
