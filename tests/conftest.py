import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pytest  # noqa: E402


@pytest.fixture(autouse=True)
def seeded():
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
